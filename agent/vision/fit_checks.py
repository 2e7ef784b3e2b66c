"""Point pairs in, a camera that can be trusted out, or one sentence that says what to mend."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from agent.vision.calibrate import HEIGHT_SD_M, Fit, Lens, fit_camera, unknown_lens
from agent.vision.ground import (
    F64,
    HEAD_HEIGHT_M,
    MAX_CAMERA_HEIGHT_M,
    MIN_DROP_M,
    CalibrationInvalid,
    CameraCalibration,
)
from agent.vision.pairs import (
    MIN_PAIRS,
    PairsInvalid,
    PointPair,
    check_pairs,
    ground_of,
    pixels_of,
)

MAX_MISFIT: Final = 3.0
SUSPICIOUS: Final = 1.5
"""Above this misfit one wrong pair among good ones is looked for."""
MAX_DROP: Final = 25.0
"""A pair is wrong if leaving it out lowers chi-square by more: five standard deviations."""
SUSPECTS: Final = 10
UNITS: Final = (("centimetres", 100.0), ("feet", 3.281), ("millimetres", 1000.0), ("inches", 39.37))
WIDEST_DEG, NARROWEST_DEG = 130.0, 8.0
HIGHEST_AXIS_DEG: Final = 5.0
MOST_ROLL_DEG: Final = 30.0
MOST_DOWN_DEG: Final = 10.0
"""How far past straight down a camera may look."""


def calibrate_from_points(
    pairs: Sequence[PointPair], lens: Lens | None = None, *,
    size_wh: tuple[int, int], height_m: float | None = None,
) -> Fit:  # fmt: skip
    """Fit a camera to point pairs and make sure that it can be trusted.

    `lens` comes from a board, else the lens is taken as straight; `height_m` is the camera's
    measured height. Raises `PairsInvalid` or `CalibrationInvalid` with the field and the mend.
    """
    if height_m is not None:
        check_measured(height_m)
    check_pairs(pairs, size_wh)
    known = lens or unknown_lens(size_wh)
    free = fit_camera(pairs, known)
    if height_m is not None:
        _check_units(free.camera.height_m, height_m)
    _check_agreement(pairs, free)
    check_camera(free.camera)
    _check_sides(pairs, free.camera)
    if height_m is not None:
        check_height(free, height_m)
        free = fit_camera(pairs, known, height_m=height_m)
    check_range(free)
    return free


def check_camera(camera: CameraCalibration) -> None:
    """Refuse a camera that cannot hang where it is said to; raises `PairsInvalid`."""
    height_m = camera.height_m
    if height_m < 0:
        raise PairsInvalid(
            "pairs: are mirrored; x_m grows to the right and y_m away from the camera, "
            "py grows downwards"
        )
    if height_m <= HEAD_HEIGHT_M + MIN_DROP_M:
        raise PairsInvalid(
            f"pairs: put the camera {height_m:.2f} m above the ground, not above heads; "
            "give metres, z_m = 0 on the ground, and check that no pair is swapped"
        )
    _check_too_high(height_m)
    _check_lens(camera)
    _check_horizon(camera)


def check_range(fit: Fit) -> None:
    """Refuse a fit that places no head well enough; raises `CalibrationInvalid`."""
    if fit.camera.usable_range_m() is None:
        raise CalibrationInvalid(
            "camera: places no head in the middle of its picture to 1.5 m; hang it higher or "
            "tilt it further down"
        )
    if fit.usable_range_m() is None:
        raise CalibrationInvalid(
            "pairs: fix the camera too loosely to place any head to 1.5 m; add pairs far apart, "
            "near and far, and measure the camera's height (--height)"
        )


def place_errors_m(pairs: Sequence[PointPair], camera: CameraCalibration) -> list[F64 | None]:
    """Return where each pair's pixel lies less where it was measured, (2,) on its own level."""
    found = [camera.on_plane(np.array(p.pixel_xy), p.ground_m[2]) for p in pairs]
    return [
        None if place is None else place - pair.ground_m[:2]
        for place, pair in zip(found, pairs, strict=True)
    ]


def check_measured(measured_m: float) -> None:
    """Refuse a measured height that no camera has; raises `CalibrationInvalid`."""
    if not HEAD_HEIGHT_M + MIN_DROP_M < measured_m <= MAX_CAMERA_HEIGHT_M:
        raise CalibrationInvalid(
            f"height: {measured_m:g} m is no height for this camera; it hangs above heads and not "
            f"above {MAX_CAMERA_HEIGHT_M:.0f} m; measure from the ground to the lens, in metres"
        )


def _check_units(fitted_m: float, measured_m: float) -> None:
    for unit, factor in UNITS:
        if 0.85 < fitted_m / measured_m / factor < 1.15:
            raise PairsInvalid(
                f"pairs: are in {unit}; they put the camera at {fitted_m:.1f}, its height was "
                f"measured as {measured_m:g} m; give metres"
            )


def check_height(fit: Fit, measured_m: float, *, source: str = "pairs") -> None:
    """Refuse a measured height that the fit contradicts; raises `CalibrationInvalid`."""
    fitted_m = fit.camera.height_m
    sure_m = max(3 * math.hypot(fit.height_sd_m, HEIGHT_SD_M), 0.1 * measured_m)
    if abs(fitted_m - measured_m) > sure_m:
        raise CalibrationInvalid(
            f"height: measured as {measured_m:g} m, but the {source} say {fitted_m:.2f} m; "
            f"measure the height and the {source} again, and mind the units"
        )


def _check_agreement(pairs: Sequence[PointPair], fit: Fit) -> None:
    if fit.misfit <= SUSPICIOUS:
        return
    _check_too_high(fit.camera.height_m)
    if len(pairs) == MIN_PAIRS:
        # Any three pairs agree with some camera: four cannot tell which of them is wrong.
        if fit.misfit > MAX_MISFIT:
            raise PairsInvalid(_accuse_four(pairs, fit))
        return
    suspect, without = _suspect(pairs, fit)
    if fit.misfit <= MAX_MISFIT and fit.chi2 - without.chi2 < MAX_DROP:
        return
    raise PairsInvalid(_accusation(suspect, without, alone=without.misfit <= MAX_MISFIT))


def _suspect(pairs: Sequence[PointPair], fit: Fit) -> tuple[PointPair, Fit]:
    """Return the pair that the others agree best without, and the fit without it."""
    order = np.argsort(-np.linalg.norm(fit.errors_px, axis=1))[:SUSPECTS]
    trials = [
        (pairs[i], fit_camera([p for p in pairs if p is not pairs[i]], fit.lens)) for i in order
    ]
    return min(trials, key=lambda trial: trial[1].chi2)


def _accuse_four(pairs: Sequence[PointPair], fit: Fit) -> str:
    errors_px = np.linalg.norm(fit.errors_px, axis=1)
    worst = int(np.argmax(errors_px))
    return (
        f"pairs {pairs[worst].name}: is the suspect: {errors_px[worst]:.0f} px off, but with only "
        "four pairs it may be another; click and measure all again, and add two more"
    )


def _accusation(pair: PointPair, others: Fit, *, alone: bool) -> str:
    camera = others.camera
    error_px = float(np.linalg.norm(camera.project(ground_of([pair])) - pixels_of([pair])))
    (error_m,) = place_errors_m([pair], camera)
    if math.isnan(error_px):
        what = "its ground point is out of the camera's sight, the others say"
    elif error_m is None:
        what = "its pixel is above the horizon that the others give"
    else:
        cm = float(np.hypot(*error_m)) * 100
        what = f"it is {error_px:.0f} px and {cm:.0f} cm on the ground from where the others put it"
    rest = "" if alone else " (others are off too: if all are right, the lens bends: use a board)"
    return (
        f"pairs {pair.name}: is the suspect: {what}; "
        f"click and measure it again, or leave it out{rest}"
    )


def _check_sides(pairs: Sequence[PointPair], camera: CameraCalibration) -> None:
    depths = ground_of(pairs) @ camera.rotation[2] + camera.translation[2]
    rays = camera.rays(pixels_of(pairs))
    for pair, depth, ray in zip(pairs, depths, rays, strict=True):
        if depth <= 0:
            raise PairsInvalid(
                f"pairs {pair.name}: its ground point is behind the camera; check its signs"
            )
        if ray[2] >= 0 and pair.ground_m[2] < camera.height_m:
            raise PairsInvalid(
                f"pairs {pair.name}: its pixel is above the horizon, where no ground is; "
                "click it again"
            )


def _check_too_high(height_m: float) -> None:
    if height_m > MAX_CAMERA_HEIGHT_M:
        raise PairsInvalid(
            f"pairs: put the camera {height_m:.0f} m high, more than {MAX_CAMERA_HEIGHT_M:.0f}; "
            "give metres, not centimetres or feet"
        )


def _check_lens(camera: CameraCalibration) -> None:
    wide = 2 * math.degrees(math.atan(camera.image_size_wh[0] / 2 / camera.camera_matrix[0, 0]))
    if not NARROWEST_DEG <= wide <= WIDEST_DEG:
        raise PairsInvalid(
            f"pairs: make the lens {wide:.0f} degrees wide, which no camera here is "
            f"({NARROWEST_DEG:.0f} to {WIDEST_DEG:.0f}); check every pair, or use a board"
        )


def _check_horizon(camera: CameraCalibration) -> None:
    right_up, down_up, axis_up = np.degrees(np.arcsin(np.clip(camera.rotation[:, 2], -1, 1)))
    if down_up > MOST_DOWN_DEG or abs(right_up) > MOST_ROLL_DEG:
        raise PairsInvalid(
            "pairs: hang the picture upside down or on its side; swap px and py or turn the camera"
        )
    if axis_up > HIGHEST_AXIS_DEG:
        raise PairsInvalid(
            "pairs: put the horizon below the middle of the picture, as if the camera looked "
            "up; check every pair, or tilt the camera down"
        )
