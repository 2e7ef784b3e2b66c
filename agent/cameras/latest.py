"""Keep up with a live camera: always the newest frame, the others dropped and counted."""

import threading
from collections.abc import Callable, Iterator

from agent.cameras.base import CameraSource
from agent.vision.types import Frame


class LatestFrame:
    """Read a camera in a thread of its own and hand out its newest frame.

    At most one frame waits; a newer one takes its place and `dropped` is called once for the older.
    """

    def __init__(self, source: CameraSource, dropped: Callable[[], None]) -> None:
        self._source, self._dropped = source, dropped
        self._changed = threading.Condition()
        self._waiting: Frame | None = None
        self._error: Exception | None = None
        self._ended = False

    def frames(self) -> Iterator[Frame]:
        """Yield frames as they come; raises what the camera raised."""
        reader = threading.Thread(target=self._read, name="camera", daemon=True)
        reader.start()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting is not None or self._ended)
                frame, self._waiting = self._waiting, None
            if frame is not None:
                yield frame
            elif self._error is not None:
                raise self._error
            else:
                return

    def close(self) -> None:
        """Release the camera; `frames` then ends."""
        self._source.close()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _read(self) -> None:
        try:
            for frame in self._source.frames():
                self._offer(frame)
                if self._ended:
                    break
        except Exception as error:  # noqa: BLE001 - it is raised again in the reader's place
            self._error = error
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _offer(self, frame: Frame) -> None:
        with self._changed:
            if self._waiting is not None:
                self._dropped()
            self._waiting = frame
            self._changed.notify_all()
