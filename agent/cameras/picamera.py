"""CSI cameras through picamera2 (Raspberry Pi OS). Never run off a Raspberry Pi."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from agent.cameras.base import CameraFailed
from agent.clock import Clock
from agent.vision.types import Frame


class PicameraSource:
    """Frames of a CSI camera; times come from the sensor's own clock."""

    def __init__(
        self, index: int, *, size_wh: tuple[int, int], time_uncertainty_s: float, clock: Clock,
        camera: Any = None,
    ) -> None:  # fmt: skip
        self._clock, self._uncertainty_s, self._closed = clock, time_uncertainty_s, False
        self._camera = camera if camera is not None else _open(index)
        # picamera2 names formats by their bytes in memory reversed: BGR888 gives RGB arrays.
        layout = {"size": size_wh, "format": "BGR888"}
        self._camera.configure(self._camera.create_video_configuration(main=layout))
        self._camera.start()

    def frames(self) -> Iterator[Frame]:
        """Yield RGB frames until closed."""
        index = 0
        origin_us: int | None = None
        try:
            while not self._closed:
                request = self._camera.capture_request()
                try:
                    image = np.array(request.make_array("main"), np.uint8)
                    sensor_us = int(request.get_metadata()["SensorTimestamp"]) // 1000
                finally:
                    request.release()
                if origin_us is None:
                    origin_us = self._clock.now_us() - sensor_us
                yield Frame(image, origin_us + sensor_us, self._uncertainty_s, index)
                index += 1
        finally:
            self._camera.stop()

    def close(self) -> None:
        """End `frames` at the next picture."""
        self._closed = True


def _open(index: int) -> Any:
    try:
        from picamera2 import Picamera2
    except ImportError:
        raise CameraFailed(
            "camera.source csi: picamera2 is not installed; install sightline[csi] or "
            "the python3-picamera2 package"
        ) from None
    try:
        return Picamera2(index)
    except (RuntimeError, IndexError):
        raise CameraFailed(f"camera.source csi:{index}: no such camera; check the cable") from None
