"""Frames with known faces: public-domain portraits pasted on a drawn street, seeded."""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from sim.clips.render import Cutout, load_cutout
from sim.photos import PHOTOS

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]
Box = tuple[float, float, float, float]

SIZES_WH: Final = ((640, 384), (1280, 720), (1920, 1080))
COUNTS: Final = (0, 1, 5, 20)
FACE_PX: Final = (40.0, 160.0)
"""Smallest and largest face height in pixels; crowded small frames keep to the lower part."""
MOVING_FRAMES: Final = 6
STILLS: Final = 10
STILL_FACES: Final = 5
STEP: Final = 0.04
"""A walking face moves so many of its heights from frame to frame."""
FRAME_US: Final = 200_000
"""Frames come five times a second."""
ROOM_WH: Final = (1.9, 1.85)
"""Room of a head and shoulders in face heights, cutout and feather included."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One run of frames: `moving` is one walk, `stills` are unrelated pictures."""

    name: str
    size_wh: tuple[int, int]
    faces: int
    frames: int
    moving: bool
    masked: bool


@dataclass(frozen=True, slots=True)
class Actor:
    """One face on its way: centre and step in pixels, height in pixels."""

    cutout: Cutout
    centre_xy: tuple[float, float]
    step_xy: tuple[float, float]
    height_px: float


def scenes(size_wh: tuple[int, int]) -> tuple[Scene, ...]:
    """Return all scenes of one frame size."""
    label = f"{size_wh[0]}x{size_wh[1]}"
    walks = [Scene(f"{label}-{n}", size_wh, n, MOVING_FRAMES, True, False) for n in COUNTS]
    stills = [
        Scene(f"{label}-stills{end}", size_wh, STILL_FACES, STILLS, False, masked)
        for end, masked in (("", False), ("-masked", True))
    ]
    return (*walks, *stills)


def compose(scene: Scene, photos: Path, seed: int) -> tuple[list[U8], list[list[Box]]]:
    """Return RGB frames and, per frame, the boxes of their faces in pixels (x1, y1, x2, y2)."""
    rng = np.random.default_rng([seed, *scene.size_wh, scene.faces, scene.moving, scene.masked])
    street, actors = _street(scene.size_wh, rng), _cast(scene, photos, rng)
    frames, truth = [], []
    for index in range(scene.frames):
        if not scene.moving and index:
            street, actors = _street(scene.size_wh, rng), _cast(scene, photos, rng)
        picture, time = street.copy(), index if scene.moving else 0
        truth.append([_paste(picture, actor, time) for actor in actors])
        noise = rng.normal(0, 1.5, (*picture.shape[:2], 1)).astype(np.float32)
        frames.append(np.asarray(np.clip(picture + noise, 0, 255), np.uint8))
    return frames, truth


def write_scene(scene: Scene, photos: Path, folder: Path, seed: int) -> Path:
    """Write one scene as `<name>.npz` (a frame per member) and `<name>.json` (boxes)."""
    frames, truth = compose(scene, photos, seed)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{scene.name}.npz"
    with path.open("wb") as file:
        np.savez(file, **{f"frame_{i:03}": f for i, f in enumerate(frames)})  # type: ignore[arg-type]
    path.with_suffix(".json").write_text(json.dumps(truth), encoding="utf-8")
    return path


def read_truth(npz: Path) -> list[list[Box]]:
    """Return the boxes of a written scene, per frame."""
    found: list[list[Box]] = json.loads(npz.with_suffix(".json").read_text(encoding="utf-8"))
    return found


def _cast(scene: Scene, photos: Path, rng: np.random.Generator) -> list[Actor]:
    """Give each face a cell of a grid, so that no face hides another."""
    cells, side_wh = _cells(scene)
    reach = 1 + STEP * scene.frames * scene.moving
    largest = min(side_wh[0] / (ROOM_WH[0] * reach), side_wh[1] / (ROOM_WH[1] * reach))
    top = max(FACE_PX[0], min(FACE_PX[1], largest))
    picked = rng.permutation(len(cells))[: scene.faces]
    names = rng.permutation([p.name for p in PHOTOS])
    return [
        _actor(
            _cutout(photos, str(names[i % len(names)]), scene.masked), cells[cell], side_wh,
            float(np.exp(rng.uniform(np.log(FACE_PX[0]), np.log(top)))), scene, rng,
        )
        for i, cell in enumerate(picked)
    ]  # fmt: skip


def _actor(
    cutout: Cutout, corner_xy: tuple[float, float], side_wh: tuple[float, float],
    height_px: float, scene: Scene, rng: np.random.Generator,
) -> Actor:  # fmt: skip
    angle = rng.uniform(0, 2 * np.pi)
    step = np.array([np.cos(angle), np.sin(angle)]) * STEP * height_px * scene.moving
    # The middle of the walk lies where the whole walk stays inside the cell.
    slack = np.maximum(np.array(side_wh) - height_px * np.array(ROOM_WH), 0) / 2
    slack = np.maximum(slack - np.abs(step) * scene.frames / 2, 0)
    middle = np.array(corner_xy) + np.array(side_wh) / 2 + rng.uniform(-slack, slack)
    start = middle - step * (scene.frames - 1) / 2
    return Actor(cutout, (start[0], start[1]), (step[0], step[1]), height_px)


def _cells(scene: Scene) -> tuple[list[tuple[float, float]], tuple[float, float]]:
    """Return the corners of a grid with room for all faces, and a cell's sides in pixels."""
    width, height = scene.size_wh
    grids = [(n, -(-max(scene.faces, 1) // n)) for n in range(1, max(scene.faces, 1) + 1)]
    columns, rows = max(
        grids, key=lambda g: min(width / g[0] / ROOM_WH[0], height / g[1] / ROOM_WH[1])
    )
    side = width / columns, height / rows
    return [(c * side[0], r * side[1]) for r in range(rows) for c in range(columns)], side


@lru_cache(maxsize=16)
def _cutout(photos: Path, name: str, masked: bool) -> Cutout:
    return load_cutout(photos, name, masked=masked)


def _paste(picture: U8, actor: Actor, time: int) -> Box:
    """Blend one face into the picture; return its box."""
    x1, y1, x2, y2 = actor.cutout.face_xyxy
    scale = actor.height_px / (y2 - y1)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    patch = cv2.resize(actor.cutout.rgba, None, fx=scale, fy=scale, interpolation=how)
    centre = [c + time * s for c, s in zip(actor.centre_xy, actor.step_xy, strict=True)]
    left, top = round(centre[0] - scale * (x1 + x2) / 2), round(centre[1] - scale * (y1 + y2) / 2)
    _blend(picture, np.asarray(patch, np.float32), left, top)
    return (left + x1 * scale, top + y1 * scale, left + x2 * scale, top + y2 * scale)


def _blend(picture: U8, patch: F32, left: int, top: int) -> None:
    height, width = picture.shape[:2]
    x1, y1 = max(left, 0), max(top, 0)
    x2, y2 = min(left + patch.shape[1], width), min(top + patch.shape[0], height)
    part = patch[y1 - top : y2 - top, x1 - left : x2 - left]
    alpha = np.clip(part[:, :, 3:] / 255.0, 0, 1)
    under = picture[y1:y2, x1:x2].astype(np.float32)
    picture[y1:y2, x1:x2] = np.clip(under * (1 - alpha) + part[:, :, :3] * alpha, 0, 255)


def _street(size_wh: tuple[int, int], rng: np.random.Generator) -> U8:
    """Draw a wall with courses of bricks over a pavement, with soft stains on both."""
    width, height = size_wh
    foot, course = round(height * 0.55), max(8, height // 40)
    image = np.full((height, width, 3), (150, 148, 144), np.float32)
    image[:foot] = rng.integers(110, 190, 3)
    for row, y in enumerate(range(0, foot, course)):
        image[y] -= 14
        image[y : y + course, (row % 2) * course :: 2 * course] -= 10
    image[foot : foot + 3] -= 50
    for cells in (6, 24, 96):
        stain = rng.normal(0, 5, (cells, cells)).astype(np.float32)
        image += np.asarray(cv2.resize(stain, size_wh, interpolation=cv2.INTER_CUBIC))[:, :, None]
    return np.asarray(np.clip(image, 0, 255), np.uint8)
