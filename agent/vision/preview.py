"""The picture with the ground grid drawn on it, so that a technician sees whether it fits."""

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np

from agent.vision.ground import F64, CameraCalibration
from agent.vision.pairs import PointPair, ground_of, pixels_of
from agent.vision.types import U8

GRID, TENTH, GOOD, CLICK, WORD = (
    (255, 220, 60), (255, 120, 0), (60, 220, 60), (255, 40, 40), (255, 255, 255),
)  # fmt: skip
"""Colours, RGB: metre lines, every fifth, the usable range, clicked points, words."""
SAMPLE_M: Final = 0.1
FAR_PX: Final = 10_000
"""Lines are drawn no farther outside the picture, where 32-bit drawing would fail."""


def draw_preview(
    image_rgb: U8, camera: CameraCalibration, pairs: Sequence[PointPair],
    usable_m: tuple[float, float],
) -> U8:  # fmt: skip
    """Draw ground grid (metres), usable range, given points and where the camera puts them.

    Crosses are the clicks, circles the fitted places; returns a new (H, W, 3) RGB picture.
    """
    canvas = image_rgb.copy()
    reach = int(np.ceil(usable_m[1]))
    for metre in range(-reach, reach + 1):
        colour, width = (TENTH, 2) if metre % 5 == 0 else (GRID, 1)
        _line(canvas, camera, _straight(metre, reach), colour, width)
        _line(canvas, camera, _straight(metre, reach)[:, ::-1], colour, width)
    _line(canvas, camera, _arc(camera.centre_m[:2], usable_m[1]), GOOD, 3)
    for metre in range(-reach, reach + 1):
        if metre % 5 == 0 or abs(metre) < 5:
            _label(canvas, camera, (0.0, float(metre)), f"{metre} m")
            _label(canvas, camera, (float(metre), 5.0), f"{metre}")
    _points(canvas, camera, pairs)
    return canvas


def _straight(at_m: float, reach_m: float) -> F64:
    along = np.arange(-reach_m, reach_m + SAMPLE_M, SAMPLE_M)
    return np.column_stack([np.full_like(along, at_m), along])


def _arc(centre: F64, radius_m: float) -> F64:
    angle = np.linspace(0, 2 * np.pi, 721)
    return centre + radius_m * np.column_stack([np.cos(angle), np.sin(angle)])


def _line(
    canvas: U8, camera: CameraCalibration, ground_xy: F64, colour: tuple[int, int, int], width: int
) -> None:
    pixels = camera.project(np.column_stack([ground_xy, np.zeros(len(ground_xy))]))
    # Comparisons with NaN are false: what the camera cannot see ends the line.
    seen = np.abs(pixels).max(axis=1) < FAR_PX
    for i in np.flatnonzero(seen[:-1] & seen[1:]):
        one, two = _spot(pixels[i]), _spot(pixels[i + 1])
        cv2.line(canvas, one, two, colour, width, cv2.LINE_AA)


def _label(
    canvas: U8, camera: CameraCalibration, ground_xy: tuple[float, float], words: str
) -> None:
    pixel = camera.project(np.array([[*ground_xy, 0.0]]))[0]
    if (np.abs(pixel) < FAR_PX).all():
        _write(canvas, _spot(pixel + np.array([4.0, -4.0])), words)


def _points(canvas: U8, camera: CameraCalibration, pairs: Sequence[PointPair]) -> None:
    if not pairs:
        return
    fitted = camera.project(ground_of(pairs))
    for pair, clicked, place in zip(pairs, pixels_of(pairs), fitted, strict=True):
        cv2.drawMarker(canvas, _spot(clicked), CLICK, cv2.MARKER_CROSS, 20, 2)
        if (np.abs(place) < FAR_PX).all():
            cv2.circle(canvas, _spot(place), 9, CLICK, 2, cv2.LINE_AA)
        _write(canvas, _spot(clicked + np.array([12.0, 18.0])), pair.name)


def _write(canvas: U8, spot: tuple[int, int], words: str) -> None:
    for colour, width in (((0, 0, 0), 4), (WORD, 1)):
        cv2.putText(canvas, words, spot, cv2.FONT_HERSHEY_SIMPLEX, 0.55, colour, width, cv2.LINE_AA)


def _spot(pixel: F64) -> tuple[int, int]:
    return round(float(pixel[0])), round(float(pixel[1]))
