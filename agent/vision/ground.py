"""From a head in the picture to a place on the ground: pinhole camera and head plane."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agent.errors import AgentError
from agent.vision.lens import distort, undistort

HEAD_HEIGHT_M: Final = 1.55
HEAD_HEIGHT_SD_M: Final = 0.12
PIXEL_SD: Final = 1.5
"""Standard deviation of a face box's centre, in pixels."""
MAX_RANGE_M: Final = 60.0
MAX_CAMERA_HEIGHT_M: Final = 30.0
MIN_DROP_M: Final = 0.2
"""How far a camera must hang above the head plane."""
USABLE_SD_M: Final = 1.5
"""Where a head's place is less certain than this, it says nothing about a contact."""
RANGE_STEP_M: Final = 0.25
F64 = NDArray[np.float64]


class CalibrationInvalid(AgentError):
    """A camera's calibration cannot be used."""


@dataclass(frozen=True, slots=True)
class CameraCalibration:
    """A calibrated camera: x_cam = rotation @ x_world + translation; metres, z up.

    `camera_matrix` (3, 3) in pixels, `rotation` (3, 3), `translation` (3,), `distortion` (5,):
    OpenCV's k1, k2, p1, p2, k3, all zero for a straight lens.
    """

    id: str
    image_size_wh: tuple[int, int]
    camera_matrix: F64
    rotation: F64
    translation: F64
    distortion: F64 = field(default_factory=lambda: np.zeros(5))

    @property
    def centre_m(self) -> F64:
        """Return the camera's position in its world frame."""
        return np.asarray(-self.rotation.T @ self.translation)

    @property
    def height_m(self) -> float:
        """Return the camera's height above the ground."""
        return float(self.centre_m[2])

    def project(self, points_m: F64) -> F64:
        """Return the pixels (N, 2) of world points (N, 3); NaN where the camera cannot see."""
        seen = points_m @ self.rotation.T + self.translation
        depth = np.where(seen[:, 2:] > 1e-6, seen[:, 2:], np.nan)
        straight = seen[:, :2] / depth
        bent = distort(straight, self.distortion)
        # Far outside the picture the lens model folds back into it: nothing is seen there.
        back = undistort(bent, self.distortion)
        off = np.abs(back - straight).max(axis=1, keepdims=True)
        bent = np.where(off < 1e-4, bent, np.nan)
        return np.asarray(bent @ self.camera_matrix[:2, :2].T + self.camera_matrix[:2, 2])

    def rays(self, pixels_xy: F64) -> F64:
        """Return the world directions (N, 3) that pixels (N, 2) look along; not unit vectors."""
        offset = (pixels_xy - self.camera_matrix[:2, 2]).T
        bent = np.asarray(np.linalg.solve(self.camera_matrix[:2, :2], offset).T, np.float64)
        straight = undistort(bent, self.distortion)
        return np.column_stack([straight, np.ones(len(straight))]) @ self.rotation

    def on_plane(self, pixel_xy: F64, z_m: float) -> F64 | None:
        """Return where a pixel's ray meets the level plane `z_m`, (2,); None if it never does."""
        place = self._meet(np.asarray(pixel_xy, float)[None], z_m)[0]
        return place if np.isfinite(place).all() else None

    def on_head_plane(self, pixel_xy: NDArray[np.floating]) -> tuple[F64, float] | None:
        """Place a head on the plane at `HEAD_HEIGHT_M`.

        Returns its (2,) position from the pole's foot in metres and the standard deviation that
        pixel noise causes; None if the ray does not meet the plane within `MAX_RANGE_M`.
        """
        found = self._place_and_jacobian(np.asarray(pixel_xy, float))
        if found is None:
            return None
        place, jacobian = found
        noise = PIXEL_SD * float(np.sqrt(np.linalg.eigvalsh(jacobian @ jacobian.T)[-1]))
        return place, noise

    def head_place(self, pixel_xy: NDArray[np.floating]) -> tuple[F64, F64] | None:
        """Place a head, with everything that is unknown about it.

        Returns its (2,) position as `on_head_plane` does, and the (2, 2) covariance in square
        metres from pixel noise and from the spread of head heights (`HEAD_HEIGHT_SD_M`).
        """
        found = self._place_and_jacobian(np.asarray(pixel_xy, float))
        if found is None:
            return None
        place, jacobian = found
        # A head dh higher than the plane is seen drawn away from the camera by this much.
        per_metre = (place - self.centre_m[:2]) / (self.height_m - HEAD_HEIGHT_M)
        spread = HEAD_HEIGHT_SD_M**2 * np.outer(per_metre, per_metre)
        return place, PIXEL_SD**2 * jacobian @ jacobian.T + spread

    def usable_range_m(
        self, more: Callable[[F64], F64] | None = None, *, max_sd_m: float = USABLE_SD_M
    ) -> tuple[float, float] | None:
        """Return from where to where, in metres along the axis, heads are placed well enough.

        That is while the covariance's longest half axis stays within `max_sd_m`; `more` adds a
        (2, 2) covariance at a pixel (2,). None if no head in the picture's middle is.
        """
        good = []
        for distance in np.arange(RANGE_STEP_M, MAX_RANGE_M, RANGE_STEP_M):
            sd_m = self._sd_at(float(distance), more)
            if sd_m is not None and sd_m <= max_sd_m:
                good.append(float(distance))
            elif good:
                break
        return (good[0], good[-1]) if good else None

    def _sd_at(self, distance_m: float, more: Callable[[F64], F64] | None) -> float | None:
        # Where the picture's middle column points: also right when it looks straight down.
        ahead = self.rotation[2, :2] - self.rotation[1, :2]
        spot = self.centre_m[:2] + ahead / np.hypot(*ahead) * distance_m
        pixel = self.project(np.array([[*spot, HEAD_HEIGHT_M]]))[0]
        # A NaN pixel, of a head behind the camera, fails the comparison as it should.
        if not ((pixel >= 0) & (pixel < self.image_size_wh)).all():
            return None
        placed = self.head_place(pixel)
        if placed is None:
            return None
        covariance = placed[1] + (more(pixel) if more else 0.0)
        return float(np.sqrt(np.linalg.eigvalsh(covariance)[-1]))

    def _place_and_jacobian(self, pixel_xy: F64) -> tuple[F64, F64] | None:
        steps = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        places = self._meet(pixel_xy + steps, HEAD_HEIGHT_M)
        # The comparison is false for the NaN of a ray that meets no plane.
        if not np.hypot(*places.T).max() <= MAX_RANGE_M:
            return None
        return places[0], (places[1:] - places[0]).T

    def _meet(self, pixels_xy: F64, z_m: float) -> F64:
        rays, drop = self.rays(pixels_xy), self.height_m - z_m
        fall = np.where(rays[:, 2] < -1e-6, -rays[:, 2], np.nan)
        reach = drop / fall if drop > 0 else np.full(len(rays), np.nan)
        return np.asarray(self.centre_m[:2] + rays[:, :2] * reach[:, None])


def load_calibration(path: Path) -> CameraCalibration:
    """Read a calibration JSON file; raises `CalibrationInvalid` naming the field."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise CalibrationInvalid(
            f"camera.calibration_file {path}: cannot be read as JSON; calibrate the camera again"
        ) from None
    return parse_calibration(raw, default_id=path.stem)


def parse_calibration(raw: dict[str, Any], *, default_id: str) -> CameraCalibration:
    """Build a calibration from its JSON fields; raises `CalibrationInvalid` naming the field."""
    try:
        calibration = CameraCalibration(
            id=str(raw.get("id", default_id)),
            image_size_wh=(int(raw["image_size_wh"][0]), int(raw["image_size_wh"][1])),
            camera_matrix=np.array(raw["camera_matrix"], float).reshape(3, 3),
            rotation=np.array(raw["rotation"], float).reshape(3, 3),
            translation=np.array(raw["translation"], float).reshape(3),
            distortion=np.array(raw.get("distortion", [0.0] * 5), float).reshape(5),
        )
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        raise CalibrationInvalid(f"calibration: {error}; calibrate the camera again") from None
    _check(calibration)
    return calibration


def _check(calibration: CameraCalibration) -> None:
    for name in ("camera_matrix", "rotation", "translation", "distortion"):
        if not np.isfinite(getattr(calibration, name)).all():
            raise CalibrationInvalid(f"calibration.{name}: not a number; calibrate again")
    matrix, turn = calibration.camera_matrix, calibration.rotation
    if min(calibration.image_size_wh) <= 0:
        raise CalibrationInvalid("calibration.image_size_wh: not a picture; calibrate again")
    if min(matrix[0, 0], matrix[1, 1]) <= 0 or not np.allclose(matrix[2], [0, 0, 1]):
        raise CalibrationInvalid("calibration.camera_matrix: not a camera; calibrate again")
    if not np.allclose(turn @ turn.T, np.eye(3), atol=1e-3) or np.linalg.det(turn) < 0:
        raise CalibrationInvalid("calibration.rotation: not a rotation; calibrate again")
    height_m = calibration.height_m
    if height_m <= HEAD_HEIGHT_M + MIN_DROP_M:
        raise CalibrationInvalid(
            f"calibration: camera is {height_m:.2f} m high, but must hang above heads"
        )
    if height_m > MAX_CAMERA_HEIGHT_M:
        raise CalibrationInvalid(
            f"calibration: camera is {height_m:.0f} m high; faces are not seen from above "
            f"{MAX_CAMERA_HEIGHT_M:.0f} m; calibrate again"
        )
