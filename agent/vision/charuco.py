"""The lens from pictures of a ChArUco board, and the camera's place from one on the ground."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from agent.vision.calibrate import Fit, Lens, Noise, fit_camera
from agent.vision.fit_checks import (
    MAX_MISFIT,
    check_camera,
    check_height,
    check_measured,
    check_range,
)
from agent.vision.ground import F64, CalibrationInvalid
from agent.vision.pairs import FARTHEST_M, PointPair
from agent.vision.types import U8

MIN_VIEWS: Final = 4
MAX_VIEWS: Final = 60
MIN_CORNERS: Final = 8
MIN_COVER: Final = 0.25
MAX_RMS_PX: Final = 1.0
MAX_FOCAL_SD: Final = 0.02
LEAST_FOCAL_SD: Final = 0.001
MAX_OFF_CENTRE: Final = 0.15
CORNER_NOISE: Final = Noise(pixel=0.4, ground_m=0.002)
"""Found corners are finer than clicks, and a printed board finer than a tape."""


class BoardInvalid(CalibrationInvalid):
    """The pictures of the board cannot fix the lens or the camera."""


@dataclass(frozen=True, slots=True)
class BoardSpec:
    """A printed ChArUco board: squares across and down, sizes in metres, OpenCV's dictionary."""

    columns: int
    rows: int
    square_m: float
    marker_m: float
    dictionary: str

    def board(self) -> cv2.aruco.CharucoBoard:
        """Return OpenCV's board; raises `BoardInvalid` naming the field."""
        number = getattr(cv2.aruco, self.dictionary, None)
        if not self.dictionary.startswith("DICT_") or not isinstance(number, int):
            raise BoardInvalid(f"dictionary {self.dictionary}: is unknown; try DICT_5X5_100")
        if min(self.columns, self.rows) < 3:
            raise BoardInvalid("columns and rows: a board has at least 3 squares each way")
        if not 0 < self.marker_m < self.square_m:
            raise BoardInvalid("marker-mm: a marker is smaller than its square; measure both")
        markers = cv2.aruco.getPredefinedDictionary(number)
        if self.columns * self.rows // 2 > len(markers.bytesList):
            raise BoardInvalid(f"dictionary {self.dictionary}: is too small for this board")
        return cv2.aruco.CharucoBoard(
            (self.columns, self.rows), self.square_m, self.marker_m, markers
        )


@dataclass(frozen=True, slots=True)
class View:
    """The board in one picture: corners (N, 2) in metres from its lower left, pixels (N, 2)."""

    name: str
    size_wh: tuple[int, int]
    corners_m: F64
    pixels: F64


@dataclass(frozen=True, slots=True)
class LensFit:
    """A lens from pictures of the board, with the corners' rms error in pixels."""

    lens: Lens
    rms_px: float
    views: int


def find_board(spec: BoardSpec, image_rgb: U8, name: str) -> View:
    """Find the board in an RGB picture (H, W, 3); raises `BoardInvalid` if it is not seen."""
    board = spec.board()
    grey = cv2.cvtColor(image_rgb, cv2.COLOR_RGB2GRAY)
    pixels, ids, _, _ = cv2.aruco.CharucoDetector(board).detectBoard(grey)
    found = 0 if ids is None else len(ids)
    if found < MIN_CORNERS or board.checkCharucoCornersCollinear(ids):
        raise BoardInvalid(
            f"picture {name}: shows {found} corners of the board, {MIN_CORNERS} off one line are "
            f"needed; is it {spec.columns} x {spec.rows} of {spec.dictionary}, near and in light?"
        )
    flat = np.asarray(board.getChessboardCorners(), np.float64)[np.ravel(ids), :2]
    # OpenCV counts down from the upper left; on the ground we count up from the lower left.
    corners = np.column_stack([flat[:, 0], spec.rows * spec.square_m - flat[:, 1]])
    height, width = image_rgb.shape[:2]
    return View(name, (width, height), corners, np.asarray(pixels, np.float64).reshape(-1, 2))


def calibrate_lens(views: Sequence[View]) -> LensFit:
    """Fit camera matrix and distortion to pictures of the board held in many ways.

    Raises `BoardInvalid` naming the picture or what the pictures lack.
    """
    _check_views(views)
    size = views[0].size_wh
    solid = [np.column_stack([v.corners_m, np.zeros(len(v.pixels))]) for v in views]
    # Few pictures cannot tell k3 and a skewed sensor from noise; k1 and k2 bend the corners.
    rms, matrix, bend, _, _, deviations, _, errors = cv2.calibrateCameraExtended(
        [s.astype(np.float32) for s in solid], [v.pixels.astype(np.float32) for v in views],
        size, np.eye(3), np.zeros(5), flags=cv2.CALIB_FIX_K3 | cv2.CALIB_ZERO_TANGENT_DIST,
    )  # fmt: skip
    if rms > MAX_RMS_PX:
        worst = int(np.argmax(errors))
        raise BoardInvalid(
            f"picture {views[worst].name}: fits worst, {float(np.ravel(errors)[worst]):.1f} px; "
            "take it again with the board flat and still, and check columns, rows and sizes"
        )
    sd = max(float(np.ravel(deviations)[0]) / float(matrix[0, 0]), LEAST_FOCAL_SD)
    lens = Lens(size, np.asarray(matrix, np.float64), np.ravel(bend)[:5].astype(np.float64), sd)
    _check_lens(lens)
    return LensFit(lens, float(rms), len(views))


def ground_pairs(view: View, at_m: tuple[float, float], turn_deg: float) -> list[PointPair]:
    """Return a lying board's corners as point pairs.

    `at_m` is where its lower left corner lies, from the pole's foot; `turn_deg` how far its upward
    edge is turned left from straight ahead. Raises `BoardInvalid` for what is no place.
    """
    if not (math.isfinite(turn_deg) and all(abs(m) <= FARTHEST_M for m in at_m)):
        raise BoardInvalid(f"at: {at_m[0]:g} {at_m[1]:g} is no place; give two numbers in metres")
    sin, cos = math.sin(math.radians(turn_deg)), math.cos(math.radians(turn_deg))
    spots = view.corners_m @ np.array([[cos, sin], [-sin, cos]]) + at_m
    return [
        PointPair(f"corner {i}", (float(u), float(v)), (float(x), float(y), 0.0))
        for i, ((u, v), (x, y)) in enumerate(zip(view.pixels, spots, strict=True), start=1)
    ]


def calibrate_on_board(
    pairs: Sequence[PointPair], lens: Lens, *, height_m: float | None = None
) -> Fit:
    """Fit place and direction to the corners of a board that lies on the ground.

    Raises `CalibrationInvalid` with the field and the mend.
    """
    fit = fit_camera(pairs, lens, noise=CORNER_NOISE)
    if fit.misfit > MAX_MISFIT:
        raise BoardInvalid(
            f"ground picture: its corners are off by {fit.misfit:.0f} times what is usual; "
            "lay the board flat, and use the same zoom as in the other pictures"
        )
    check_camera(fit.camera)
    if height_m is not None:
        check_measured(height_m)
        check_height(fit, height_m, source="board's sizes")
        fit = fit_camera(pairs, lens, height_m=height_m, noise=CORNER_NOISE)
    check_range(fit)
    return fit


def _check_views(views: Sequence[View]) -> None:
    if not MIN_VIEWS <= len(views) <= MAX_VIEWS:
        raise BoardInvalid(
            f"pictures: the board is seen in {len(views)}; give {MIN_VIEWS} to {MAX_VIEWS}, "
            "best 10, each from another side"
        )
    size = views[0].size_wh
    for view in views:
        if view.size_wh != size:
            raise BoardInvalid(
                f"picture {view.name}: is {view.size_wh[0]} x {view.size_wh[1]}, the first one "
                f"{size[0]} x {size[1]}; take all with the same camera and settings"
            )
    hull = cv2.convexHull(np.concatenate([v.pixels for v in views]).astype(np.float32))
    share = cv2.contourArea(hull) / (size[0] * size[1])
    if share < MIN_COVER:
        raise BoardInvalid(
            f"pictures: the board covers only {share:.0%} of the picture in all of them together; "
            "hold it closer and into the corners too"
        )


def _check_lens(lens: Lens) -> None:
    off = np.abs(lens.camera_matrix[:2, 2] / lens.size_wh - 0.5).max()
    if lens.focal_sd > MAX_FOCAL_SD or off > MAX_OFF_CENTRE:
        raise BoardInvalid(
            "pictures: show the board too much from one side to fix the lens; "
            "tilt it by 30 degrees and more, to the left, right, up and down"
        )
