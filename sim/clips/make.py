"""Make a clip set: six clips, their ground truth, and the reference photograph."""

import json
import multiprocessing
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from sim.clips.encode import encode
from sim.clips.optics import HEIGHT, WIDTH, Optics
from sim.clips.render import Renderer
from sim.clips.script import (
    NEAR_M,
    SUBJECT,
    CameraScript,
    Script,
    distance_at,
    near_seconds,
    write_script,
)
from sim.errors import SimError
from sim.photos import photo_named

GENERATOR_VERSION: Final = 2
STAMP: Final = "done.json"
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class ClipSet:
    """A finished set on disk."""

    directory: Path
    truth_file: Path
    reference_photo: Path


def make_clips(
    seed: int, scene_day: date, photos_dir: Path, out_dir: Path, progress: Progress | None = None
) -> ClipSet:
    """Make the clips of a seed, or return the finished set that is there already."""
    script = write_script(seed, scene_day)
    done = ClipSet(out_dir, out_dir / "truth.json", out_dir / "reference.jpg")
    stamp = {"seed": seed, "scene_day": scene_day.isoformat(), "version": GENERATOR_VERSION}
    if _stamped(out_dir, stamp):
        return done
    shutil.rmtree(out_dir, ignore_errors=True)
    out_dir.mkdir(parents=True)
    _write_reference(photos_dir, script.reference_photo, done.reference_photo)
    _render_all(script, photos_dir, out_dir, progress or (lambda _done, _total: None))
    done.truth_file.write_text(json.dumps(truth_of(script), indent=1), encoding="utf-8")
    (out_dir / STAMP).write_text(json.dumps(stamp), encoding="utf-8")
    return done


def truth_of(script: Script) -> dict[str, Any]:
    """Return the ground truth that follows from a script."""
    episodes = [e for camera in script.cameras for e in _episodes(camera)]
    minutes = {
        person: round(sum(e["minutes"] for e in episodes if e["person"] == person), 3)
        for person in (script.long_person, script.short_person)
    }
    return {
        "seed": script.seed,
        "scene_day": script.scene_day.isoformat(),
        "subject": SUBJECT,
        "reference_photo": "reference.jpg",
        "cameras": [_camera(camera) for camera in script.cameras],
        "people": {
            person: {"photos": sorted({s.photo for c in script.cameras for s in c.stays
                                       if s.person == person})}
            for person in (SUBJECT, script.long_person, script.short_person)
        },
        "presence": [p for camera in script.cameras for p in _presence(camera)],
        "episodes": episodes,
        "contacts": {person: {"minutes": value} for person, value in minutes.items()},
    }  # fmt: skip


def _render_all(script: Script, photos: Path, out: Path, progress: Progress) -> None:
    total, done = sum(c.frames for c in script.cameras), 0
    longest_first = sorted(script.cameras, key=lambda c: -c.frames)
    render = partial(render_clip, photos=photos, out=out, seed=script.seed)
    # Forking a process that runs threads (a database, a progress bar) can deadlock its children.
    # Leaving the pool, as by Ctrl-C, ends its processes.
    with multiprocessing.get_context("spawn").Pool(2, _leave_interrupts_to_parent) as pool:
        for frames in pool.imap_unordered(render, longest_first):
            done += frames
            progress(done, total)


def _leave_interrupts_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def render_clip(camera: CameraScript, photos: Path, out: Path, seed: int) -> int:
    """Write one camera's clip and its frame-by-frame truth; return how many frames."""
    cv2.setNumThreads(1)
    renderer = Renderer(camera, photos, seed)
    lines: list[str] = []

    def frames() -> Iterator[tuple[int, NDArray[np.uint8]]]:
        for second in range(camera.frames):
            picture, faces = renderer.frame(second)
            found = [
                {"person": stay.person, "bbox_xyxy": [round(v, 1) for v in box],
                 "xy_m": [round(v, 3) for v in place], "masked": stay.masked}
                for stay, box, place in faces
            ]  # fmt: skip
            lines.append(json.dumps({"t_s": second, "faces": found}))
            yield second, picture

    encode(out / f"{camera.camera_id}.mp4", frames(), (WIDTH, HEIGHT))
    (out / f"{camera.camera_id}.frames.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return camera.frames


def _camera(camera: CameraScript) -> dict[str, Any]:
    return {
        "camera_id": camera.camera_id,
        "clip": f"{camera.camera_id}.mp4",
        "start_utc": _iso(camera.start_utc),
        "frames": camera.frames,
        "x_m": camera.x_m,
        "y_m": camera.y_m,
        "calibration": Optics(camera.height_m, camera.tilt_rad).calibration(camera.camera_id),
    }


def _presence(camera: CameraScript) -> list[dict[str, str]]:
    found = []
    for stay in camera.stays:
        seconds = [
            t for t in range(camera.frames) if _in_view(camera, stay.place_at(t), stay.head_m)
        ]
        found.append({
            "person": stay.person, "camera_id": camera.camera_id,
            "start_utc": _iso(_at(camera, seconds[0])), "end_utc": _iso(_at(camera, seconds[-1])),
        })  # fmt: skip
    return found


def _in_view(camera: CameraScript, place: tuple[float, float] | None, head_m: float) -> bool:
    if place is None:
        return False
    x, _, scale = Optics(camera.height_m, camera.tilt_rad).project(*place, head_m)
    return 0.09 * scale + 4 <= x <= WIDTH - 0.09 * scale - 4


def _episodes(camera: CameraScript) -> list[dict[str, Any]]:
    found = []
    masks = {s.person: "masked" if s.masked else "unmasked" for s in camera.stays}
    for person in sorted(masks.keys() - {SUBJECT}):
        near = near_seconds(camera, person, NEAR_M)
        # Runs of consecutive seconds share the difference of value and position.
        for _, run in groupby(enumerate(near), key=lambda pair: pair[1] - pair[0]):
            seconds = [second for _, second in run]
            distances = [d for t in seconds if (d := distance_at(camera, person, t)) is not None]
            found.append({
                "person": person, "camera_id": camera.camera_id,
                "start_utc": _iso(_at(camera, seconds[0])),
                "end_utc": _iso(_at(camera, seconds[-1])),
                "minutes": round(len(seconds) / 60, 4),
                "distance_m_median": round(float(np.median(distances)), 3),
                "masks": {"subject": masks[SUBJECT], "contact": masks[person]},
            })  # fmt: skip
    return found


def _write_reference(photos: Path, name: str, target: Path) -> None:
    """Write the reference photograph, cropped to its one person."""
    image = cv2.imread(str(photos / name), cv2.IMREAD_COLOR)
    if image is None:
        raise SimError(f"photos: {name} cannot be read; fetch the photos again")
    x1, y1, x2, y2 = photo_named(name).face_xyxy
    w, h = x2 - x1, y2 - y1
    left, top = max(0, int(x1 - 0.7 * w)), max(0, int(y1 - 0.6 * h))
    part = image[top : int(y2 + 0.6 * h), left : int(x2 + 0.45 * w)]
    cv2.imwrite(str(target), part, [cv2.IMWRITE_JPEG_QUALITY, 95])


def _stamped(out: Path, stamp: dict[str, Any]) -> bool:
    try:
        found: object = json.loads((out / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return found == stamp


def _at(camera: CameraScript, second: int) -> datetime:
    return camera.start_utc + timedelta(seconds=second)


def _iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
