"""From a head in the picture to a place on the ground: pinhole camera and head plane."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agent.errors import AgentError

HEAD_HEIGHT_M: Final = 1.55
HEAD_HEIGHT_SD_M: Final = 0.12
PIXEL_SD: Final = 1.5
"""Standard deviation of a face box's centre, in pixels."""
MAX_RANGE_M: Final = 60.0
F64 = NDArray[np.float64]


class CalibrationInvalid(AgentError):
    """A camera's calibration cannot be used."""


@dataclass(frozen=True, slots=True)
class CameraCalibration:
    """A calibrated camera: x_cam = rotation @ x_world + translation; metres, z up.

    `camera_matrix` (3, 3) in pixels, `rotation` (3, 3), `translation` (3,).
    """

    id: str
    image_size_wh: tuple[int, int]
    camera_matrix: F64
    rotation: F64
    translation: F64

    @property
    def centre_m(self) -> F64:
        """Return the camera's position in its world frame."""
        return np.asarray(-self.rotation.T @ self.translation)

    @property
    def height_m(self) -> float:
        """Return the camera's height above the ground."""
        return float(self.centre_m[2])

    def on_head_plane(self, pixel_xy: NDArray[np.floating]) -> tuple[F64, float] | None:
        """Place a head on the plane at `HEAD_HEIGHT_M`.

        Returns its (2,) position from the pole's foot in metres and the standard deviation that
        pixel noise causes; None if the ray does not meet the plane within `MAX_RANGE_M`.
        """
        place = self._intersect(np.asarray(pixel_xy, float))
        if place is None:
            return None
        steps = [self._intersect(pixel_xy + np.eye(2)[i]) for i in (0, 1)]
        if any(step is None for step in steps):
            return None
        jacobian = np.stack([step - place for step in steps if step is not None], axis=1)
        noise = PIXEL_SD * float(np.sqrt(np.linalg.eigvalsh(jacobian @ jacobian.T)[-1]))
        return place, noise

    def _intersect(self, pixel_xy: F64) -> F64 | None:
        ray = np.linalg.solve(self.camera_matrix, np.array([pixel_xy[0], pixel_xy[1], 1.0]))
        world = self.rotation.T @ ray
        drop = self.height_m - HEAD_HEIGHT_M
        if world[2] >= -1e-6 or drop <= 0:
            return None
        place = np.asarray(world[:2] * (drop / -world[2]))
        return place if float(np.hypot(*place)) <= MAX_RANGE_M else None


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
    """Build a calibration from its JSON fields, checked for shape and plausibility."""
    try:
        calibration = CameraCalibration(
            id=str(raw.get("id", default_id)),
            image_size_wh=(int(raw["image_size_wh"][0]), int(raw["image_size_wh"][1])),
            camera_matrix=np.array(raw["camera_matrix"], float).reshape(3, 3),
            rotation=np.array(raw["rotation"], float).reshape(3, 3),
            translation=np.array(raw["translation"], float).reshape(3),
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise CalibrationInvalid(f"calibration: {error}; calibrate the camera again") from None
    if not np.allclose(calibration.rotation @ calibration.rotation.T, np.eye(3), atol=1e-3):
        raise CalibrationInvalid("calibration.rotation: not a rotation; calibrate again")
    if calibration.height_m <= HEAD_HEIGHT_M + 0.2:
        raise CalibrationInvalid(
            f"calibration: camera is {calibration.height_m:.2f} m high, but must hang above heads"
        )
    return calibration
