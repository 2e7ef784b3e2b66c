"""A camera on a pole: where heads truly are, and where its calibration says that they are."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

HEAD_PLANE_M: Final = 1.55
HEAD_SD_M: Final = 0.12
PIXEL_SD: Final = 1.5
FACE_WIDTH_M: Final = 0.16
LEAST_FACE_PX: Final = 28.0
"""A smaller face is not embedded: nobody further away is seen."""
WIDTHS_PX: Final = (1920, 2560, 3840)
NEAREST_M: Final = 2.0
FARTHEST_M: Final = 12.0


@dataclass(frozen=True, slots=True)
class PoleCamera:
    """A camera whose foot is the origin and which looks along y, tilted down.

    `height_m` and `tilt` (radians) are what its calibration says; the truth is off by
    `height_off_m` and `tilt_off`. `focal_px` and `width_px` give its field of view.
    """

    height_m: float
    tilt: float
    height_off_m: float
    tilt_off: float
    focal_px: float
    width_px: int

    @property
    def reach_m(self) -> float:
        """Return how far away a face is just large enough."""
        slant = self.focal_px * FACE_WIDTH_M / LEAST_FACE_PX
        return float(min(np.sqrt(max(slant**2 - (self.height_m - HEAD_PLANE_M) ** 2, 9.0)),
                         FARTHEST_M))  # fmt: skip

    def in_view(self, places_m: F64) -> NDArray[np.bool_]:
        """Tell which places (n, 2) are near enough, and within the picture's sides."""
        away = np.hypot(*places_m.T)
        side = self.focal_px * np.abs(places_m[:, 0]) / np.maximum(places_m[:, 1], 1e-6)
        inside = (places_m[:, 1] > 0) & (side <= self.width_px / 2)
        return np.asarray(inside & (away >= NEAREST_M) & (away <= self.reach_m))

    def see(self, heads_m: F64, rng: np.random.Generator) -> tuple[F64, F64]:
        """Return where heads (n, 3) are placed on the head plane, (n, 2), and the noise (n,).

        The noise is what the agent would say: the pixels' standard deviation on the ground, along
        its longest axis.
        """
        pixels = self._project(heads_m)
        noisy = pixels + PIXEL_SD * rng.standard_normal(pixels.shape)
        placed = self._place(noisy)
        across, along = (self._place(noisy + step) - placed for step in np.eye(2))
        jacobian = np.stack([across, along], axis=2)
        longest = np.linalg.norm(jacobian, ord=2, axis=(1, 2))
        return placed, PIXEL_SD * longest

    def _project(self, heads_m: F64) -> F64:
        turn = _rotation(self.tilt + self.tilt_off)
        centre = np.array([0.0, 0.0, self.height_m + self.height_off_m])
        seen = (heads_m - centre) @ turn.T
        return np.asarray(self.focal_px * seen[:, :2] / seen[:, 2:])

    def _place(self, pixels: F64) -> F64:
        rays = np.column_stack([pixels / self.focal_px, np.ones(len(pixels))])
        rays = rays @ _rotation(self.tilt)
        reach = (self.height_m - HEAD_PLANE_M) / np.maximum(-rays[:, 2], 1e-6)
        return np.asarray(rays[:, :2] * reach[:, None])


def _rotation(tilt: float) -> F64:
    """World (x right, y ahead, z up) to camera (x right, y down, z ahead), tilted down."""
    s, c = np.sin(tilt), np.cos(tilt)
    return np.array([[1.0, 0.0, 0.0], [0.0, -s, -c], [0.0, c, -s]])


def draw_camera(rng: np.random.Generator, *, height_m: float | None = None) -> PoleCamera:
    """Draw a camera on a 3 to 5 m pole with 55 to 85 degrees of view, calibrated to 1 %."""
    height = float(rng.uniform(3.0, 5.0)) if height_m is None else height_m
    width = int(rng.choice(WIDTHS_PX))
    field = np.deg2rad(rng.uniform(55, 85))
    return PoleCamera(
        height_m=height,
        tilt=float(np.arctan((height - HEAD_PLANE_M) / 6.0)),
        height_off_m=float(rng.normal(0, 0.01) * (height - HEAD_PLANE_M)),
        tilt_off=float(np.deg2rad(rng.normal(0, 0.1))),
        focal_px=float(width / 2 / np.tan(field / 2)),
        width_px=width,
    )
