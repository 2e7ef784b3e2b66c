"""Files, RTSP streams and USB cameras through PyAV, with the stream's own timestamps."""

import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, Final
from urllib.parse import urlsplit

import av

from agent.cameras.base import CameraFailed
from agent.clock import Clock
from agent.vision.types import Frame

OPEN_TIMEOUT_S: Final = 10.0
READ_TIMEOUT_S: Final = 10.0
MAX_BAD_PACKETS: Final = 50
"""A stream with more undecodable packets in a row than this is given up."""


class PyAvSource:
    """Frames of anything FFmpeg opens; `origin_us` is the UTC time of timestamp zero.

    A file's origin is given by its configuration. A live stream's origin is learned from its first
    frame: the box's clock at its arrival.
    """

    def __init__(
        self, url: str, *, options: dict[str, str], input_format: str | None,
        origin_us: int | None, time_uncertainty_s: float, realtime: bool, clock: Clock,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:  # fmt: skip
        self._name = _without_password(url)
        self._origin_us, self._uncertainty_s = origin_us, time_uncertainty_s
        self._realtime, self._clock, self._sleep = realtime, clock, sleep
        self._closed = False
        try:
            self._container = av.open(
                url, options=options, format=input_format,
                timeout=(OPEN_TIMEOUT_S, READ_TIMEOUT_S),
            )  # fmt: skip
            self._stream = self._container.streams.video[0]
        except (av.FFmpegError, OSError, ValueError, IndexError) as error:
            reason = getattr(error, "strerror", None) or "it holds no video"
            raise CameraFailed(
                f"camera.source {self._name}: {reason}; check the path, cable or address"
            ) from None
        self._stream.thread_type = "SLICE"

    def frames(self) -> Iterator[Frame]:
        """Yield RGB frames; raises `CameraFailed` if the stream breaks."""
        first_us: int | None = None
        started_us = self._clock.now_us()
        for index, picture in enumerate(self._decoded()):
            if self._closed:
                return
            if picture.pts is None or picture.time_base is None:
                raise CameraFailed(f"camera.source {self._name}: frames carry no timestamps")
            offset_us = round(Fraction(picture.pts) * picture.time_base * 1_000_000)
            if first_us is None:
                first_us = offset_us
            if self._origin_us is None:
                self._origin_us = self._clock.now_us() - offset_us
            if self._realtime:
                self._wait(started_us + offset_us - first_us)
            image = picture.to_ndarray(format="rgb24")
            yield Frame(image, self._origin_us + offset_us, self._uncertainty_s, index)

    def close(self) -> None:
        """End `frames` at the next picture."""
        self._closed = True

    def _decoded(self) -> Iterator[Any]:
        bad = 0
        try:
            for packet in self._container.demux(self._stream):
                try:
                    pictures = packet.decode()
                    bad = 0
                except av.error.InvalidDataError:
                    bad += 1
                    if bad > MAX_BAD_PACKETS:
                        raise
                    continue
                yield from pictures
        except (av.FFmpegError, OSError) as error:
            raise CameraFailed(
                f"camera.source {self._name}: broke off ({error.strerror}); it is opened again"
            ) from None
        finally:
            self._container.close()

    def _wait(self, due_us: int) -> None:
        wait_s = (due_us - self._clock.now_us()) / 1e6
        if 0 < wait_s < 3600:
            self._sleep(wait_s)


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    if parts.hostname is None:
        return url
    return f"{parts.scheme}://{parts.hostname}{parts.path}"
