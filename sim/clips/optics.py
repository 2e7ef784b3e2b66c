"""The scripted cameras' pinhole geometry."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 1280, 720
FOCAL_PX: Final = 1100.0
F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Optics:
    """A camera at (0, 0, height_m) that looks along +y, tilted down."""

    height_m: float
    tilt_rad: float

    @property
    def rotation(self) -> F64:
        """Return the (3, 3) rotation from world to camera."""
        sin, cos = np.sin(self.tilt_rad), np.cos(self.tilt_rad)
        return np.array([[1, 0, 0], [0, -sin, -cos], [0, cos, -sin]], float)

    @property
    def matrix(self) -> F64:
        """Return the (3, 3) camera matrix."""
        return np.array([[FOCAL_PX, 0, WIDTH / 2], [0, FOCAL_PX, HEIGHT / 2], [0, 0, 1]], float)

    def project(self, x_m: float, y_m: float, z_m: float) -> tuple[float, float, float]:
        """Return pixel x, pixel y and pixels per metre at a world point."""
        camera = self.rotation @ np.array([x_m, y_m, z_m - self.height_m])
        depth = float(camera[2])
        pixel = self.matrix @ (camera / depth)
        return float(pixel[0]), float(pixel[1]), FOCAL_PX / depth

    def calibration(self, name: str) -> dict[str, Any]:
        """Return the calibration as the agent's file wants it."""
        translation = self.rotation @ np.array([0, 0, -self.height_m])
        return {
            "id": name,
            "image_size_wh": [WIDTH, HEIGHT],
            "camera_matrix": self.matrix.tolist(),
            "rotation": self.rotation.tolist(),
            "translation": translation.tolist(),
        }
