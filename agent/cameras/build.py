"""Choose the camera that the configuration names."""

from collections.abc import Callable
from typing import Final

from agent.cameras.base import CameraFailed, CameraSource
from agent.cameras.picamera import PicameraSource
from agent.cameras.pyav import PyAvSource
from agent.clock import Clock
from agent.config import CameraSection
from wire.times import to_us

CSI_SIZE_WH: Final = (1280, 720)


def _file(section: CameraSection, clock: Clock) -> CameraSource:
    if section.start_utc is None:
        raise CameraFailed("camera.start_utc: is needed for a file; add when it was recorded")
    return PyAvSource(
        section.source.removeprefix("file:"), options={}, input_format=None,
        origin_us=to_us(section.start_utc), time_uncertainty_s=section.time_uncertainty_s,
        realtime=section.pace == "realtime", clock=clock,
    )  # fmt: skip


def _rtsp(section: CameraSection, clock: Clock) -> CameraSource:
    return PyAvSource(
        section.source, options={"rtsp_transport": "tcp"}, input_format=None, origin_us=None,
        time_uncertainty_s=section.time_uncertainty_s, realtime=False, clock=clock,
    )  # fmt: skip


def _usb(section: CameraSection, clock: Clock) -> CameraSource:
    return PyAvSource(
        f"/dev/video{_number(section.source)}", options={"video_size": "1280x720"},
        input_format="v4l2", origin_us=None,
        time_uncertainty_s=section.time_uncertainty_s, realtime=False, clock=clock,
    )  # fmt: skip


def _csi(section: CameraSection, clock: Clock) -> CameraSource:
    return PicameraSource(
        _number(section.source), size_wh=CSI_SIZE_WH,
        time_uncertainty_s=section.time_uncertainty_s, clock=clock,
    )  # fmt: skip


_SOURCES: Final[dict[str, Callable[[CameraSection, Clock], CameraSource]]] = {
    "file": _file, "rtsp": _rtsp, "rtsps": _rtsp, "usb": _usb, "csi": _csi,
}  # fmt: skip


def open_camera(section: CameraSection, clock: Clock) -> CameraSource:
    """Open the configured camera; raises `CameraFailed` naming the mend."""
    scheme = section.source.partition(":")[0]
    return _SOURCES[scheme](section, clock)


def _number(source: str) -> int:
    text = source.partition(":")[2].strip("/")
    if not text.isdigit():
        raise CameraFailed(f"camera.source {source}: give a device number, for example usb:0")
    return int(text)
