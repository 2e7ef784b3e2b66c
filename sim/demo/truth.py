"""The ground truth of a clip set, read from its files: who was where, with whom, masked or not."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from sim.errors import SimError
from wire.times import to_us

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class TruthCamera:
    """One scripted camera: its clip, place on the plan (metres) and calibration."""

    camera_id: str
    clip: Path
    start_us: int
    frames: int
    x_m: float
    y_m: float
    calibration: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Span:
    """A person's time in one camera; `masks` only for episodes (subject's, contact's state)."""

    person: str
    camera_id: str
    start_us: int
    end_us: int
    masks: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class TruthFace:
    """One face in one frame: whose, and its rectangle in pixels of the clip's frame."""

    person: str
    bbox_xyxy: Box
    masked: bool


@dataclass(frozen=True)
class Truth:
    """Everything the checks compare with."""

    directory: Path
    subject: str
    reference_photo: Path
    cameras: tuple[TruthCamera, ...]
    presence: tuple[Span, ...]
    episodes: tuple[Span, ...]
    minutes: dict[str, float]

    @classmethod
    def read(cls, directory: Path) -> "Truth":
        """Read `truth.json` of a finished clip set; `SimError` if it is missing or odd."""
        path = directory / "truth.json"
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            return cls(
                directory=directory,
                subject=raw["subject"],
                reference_photo=directory / raw["reference_photo"],
                cameras=tuple(_camera(directory, one) for one in raw["cameras"]),
                presence=tuple(_span(one) for one in raw["presence"]),
                episodes=tuple(_span(one) for one in raw["episodes"]),
                minutes={name: float(one["minutes"]) for name, one in raw["contacts"].items()},
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SimError(f"clips: cannot use {path} ({error!r}); make the clips anew") from None

    @cached_property
    def subject_visits(self) -> tuple[Span, ...]:
        """When the subject was in which camera, in time order."""
        visits = [span for span in self.presence if span.person == self.subject]
        return tuple(sorted(visits, key=lambda span: span.start_us))

    def camera(self, camera_id: str) -> TruthCamera:
        """Return one scripted camera; `SimError` if the script has none of this name."""
        for camera in self.cameras:
            if camera.camera_id == camera_id:
                return camera
        raise SimError(f"camera_id: {camera_id} is not in the script")

    def faces_at(self, camera_id: str, moment_us: int) -> tuple[TruthFace, ...]:
        """Return the faces in the frame that was captured at this moment."""
        camera = self.camera(camera_id)
        for captured_us, faces in self.frames(camera):
            if abs(captured_us - moment_us) < 500_000:
                return faces
        raise SimError(f"captured: {camera_id} has no frame at {moment_us} µs")

    def frames(self, camera: TruthCamera) -> Iterator[tuple[int, tuple[TruthFace, ...]]]:
        """Yield (captured_us, faces) for each frame of a camera's clip."""
        path = self.directory / f"{camera.camera_id}.frames.jsonl"
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                raw = json.loads(line)
                faces = tuple(_face(one) for one in raw["faces"])
                yield camera.start_us + round(float(raw["t_s"]) * 1e6), faces


def iso_us(text: str) -> int:
    """Convert an ISO-8601 UTC time to microseconds since 1970."""
    return to_us(datetime.fromisoformat(text))


def _camera(directory: Path, raw: dict[str, Any]) -> TruthCamera:
    return TruthCamera(
        camera_id=raw["camera_id"],
        clip=directory / raw["clip"],
        start_us=iso_us(raw["start_utc"]),
        frames=int(raw["frames"]),
        x_m=float(raw["x_m"]),
        y_m=float(raw["y_m"]),
        calibration=raw["calibration"],
    )


def _span(raw: dict[str, Any]) -> Span:
    masks = raw.get("masks")
    return Span(
        person=raw["person"],
        camera_id=raw["camera_id"],
        start_us=iso_us(raw["start_utc"]),
        end_us=iso_us(raw["end_utc"]),
        masks=None if masks is None else (_mask(masks["subject"]), _mask(masks["contact"])),
    )


def _mask(value: object) -> str:
    if isinstance(value, bool):
        return "masked" if value else "unmasked"
    return str(value)


def _face(raw: dict[str, Any]) -> TruthFace:
    x0, y0, x1, y1 = (float(value) for value in raw["bbox_xyxy"])
    return TruthFace(raw["person"], (x0, y0, x1, y1), bool(raw["masked"]))
