"""Fit a camera to point pairs: focal length, place and direction, with their uncertainty."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from scipy.optimize import least_squares

from agent.vision.ground import (
    F64,
    HEAD_HEIGHT_M,
    USABLE_SD_M,
    CalibrationInvalid,
    CameraCalibration,
)
from agent.vision.lens import distort, undistort
from agent.vision.pairs import PointPair, ground_of, pixels_of

FOCAL_STARTS: Final = (0.4, 0.7, 1.2, 2.0, 4.0)
"""Focal lengths to start from, as shares of the picture's width."""
UNKNOWN_FOCAL_SD: Final = 1.0
"""What is known of an unmeasured lens: the standard deviation of its logarithm about one width."""
HEIGHT_SD_M: Final = 0.05
"""How well a technician measures the camera's height."""
NEAREST_M: Final = 0.05
STEP: Final = 1e-6
PARAMETERS: Final = 7
NOWHERE: Final = np.eye(2) * (1e3 * USABLE_SD_M) ** 2
"""The covariance, in square metres, of a place that is not known at all."""


@dataclass(frozen=True, slots=True)
class Noise:
    """What is unsure about a pair: the click in pixels, the tape in metres (standard deviations).

    A tape's 3 cm are many pixels close to the pole and less than one far away.
    """

    pixel: float = 1.5
    ground_m: float = 0.03


CLICKED: Final = Noise()


@dataclass(frozen=True, slots=True)
class Lens:
    """What is known of a lens: camera matrix (3, 3), distortion (5,), relative focal sd."""

    size_wh: tuple[int, int]
    camera_matrix: F64
    distortion: F64
    focal_sd: float

    @property
    def measured(self) -> bool:
        """Say whether the lens was calibrated with a board."""
        return self.focal_sd < UNKNOWN_FOCAL_SD


@dataclass(frozen=True, slots=True)
class Fit:
    """A fitted camera.

    `vector` (7,) is log focal factor, rotation vector, translation, `covariance` (7, 7) its
    covariance; `errors_px` (N, 2) are clicked less fitted pixels; `chi2` is the sum of squares of
    the residuals in standard deviations, `freedom` how many of them are not used up by the fit.
    """

    lens: Lens
    vector: F64
    covariance: F64
    errors_px: F64
    chi2: float
    freedom: int

    @property
    def camera(self) -> CameraCalibration:
        """Return the camera."""
        return camera_of(self.vector, self.lens)

    @property
    def misfit(self) -> float:
        """Return the size of the errors relative to what is expected: about 1 if all is well."""
        return float(np.sqrt(self.chi2 / max(self.freedom, 1)))

    @property
    def height_sd_m(self) -> float:
        """Return the standard deviation of the camera's height."""
        height_m = self.camera.height_m
        slope = np.array([(c.height_m - height_m) / STEP for c in self._moved()])
        return float(np.sqrt(slope @ self.covariance @ slope))

    def usable_range_m(self) -> tuple[float, float] | None:
        """Return from where to where heads are placed well enough, the fit's errors included."""
        camera, moved = self.camera, self._moved()
        return camera.usable_range_m(lambda p: self._place_covariance(camera, moved, p))

    def place_covariance_m2(self, pixel_xy: F64) -> F64:
        """Return the (2, 2) covariance that the fit's own uncertainty gives a head's place."""
        return self._place_covariance(self.camera, self._moved(), pixel_xy)

    def _place_covariance(
        self, camera: CameraCalibration, moved: list[CameraCalibration], pixel_xy: F64
    ) -> F64:
        place = camera.on_plane(pixel_xy, HEAD_HEIGHT_M)
        places = [m.on_plane(pixel_xy, HEAD_HEIGHT_M) for m in moved]
        if place is None or any(p is None for p in places):
            return NOWHERE
        jacobian = np.stack([(p - place) / STEP for p in places if p is not None], axis=1)
        return np.asarray(jacobian @ self.covariance @ jacobian.T)

    def _moved(self) -> list[CameraCalibration]:
        steps = np.eye(PARAMETERS) * STEP
        return [camera_of(self.vector + step, self.lens) for step in steps]


def unknown_lens(size_wh: tuple[int, int]) -> Lens:
    """Return what is known of a lens nobody measured: straight, square pixels, centred."""
    width, height = size_wh
    matrix = np.array([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1]], float)
    return Lens(size_wh, matrix, np.zeros(5), UNKNOWN_FOCAL_SD)


def camera_of(vector: F64, lens: Lens) -> CameraCalibration:
    """Return the camera that a parameter vector (7,) stands for, without a name."""
    scaled = lens.camera_matrix * np.array([[np.exp(vector[0])], [np.exp(vector[0])], [1]])
    scaled[:2, 2] = lens.camera_matrix[:2, 2]
    turn = np.asarray(cv2.Rodrigues(vector[1:4])[0], np.float64)
    return CameraCalibration("", lens.size_wh, scaled, turn, vector[4:7], lens.distortion)


def fit_camera(
    pairs: Sequence[PointPair], lens: Lens, *, height_m: float | None = None, noise: Noise = CLICKED
) -> Fit:
    """Fit place and direction, and the focal length as far as `lens` leaves it open.

    `height_m` is the camera's height if it was measured. Raises `CalibrationInvalid` if no camera
    at all sees the pairs so.
    """
    problem = _Problem(pixels_of(pairs), ground_of(pairs), lens, height_m, None)
    starts = sorted(_starts(problem), key=lambda v: float(np.sum(problem.errors_px(v) ** 2)))
    if not starts:
        raise CalibrationInvalid("pairs: no camera can see these points so; check every pair")
    fitted = [problem.solve(start, noise) for start in starts[:3]]
    return min(fitted, key=lambda fit: fit.chi2)


@dataclass(frozen=True, slots=True)
class _Problem:
    """The pairs, (N, 2) and (N, 3), and what else is known; `weights` (N, 2, 2) whiten errors."""

    pixels: F64
    ground: F64
    lens: Lens
    height_m: float | None
    weights: F64 | None

    def project(self, vector: F64, ground: F64) -> F64:
        """Return pixels (N, 2); finite also behind the camera, where the search may pass."""
        camera = camera_of(vector, self.lens)
        seen = ground @ camera.rotation.T + camera.translation
        bent = distort(seen[:, :2] / np.maximum(seen[:, 2:], NEAREST_M), camera.distortion)
        return np.asarray(bent @ camera.camera_matrix[:2, :2].T + camera.camera_matrix[:2, 2])

    def errors_px(self, vector: F64) -> F64:
        """Return clicked less fitted pixels, (N, 2)."""
        return self.pixels - self.project(vector, self.ground)

    def residuals(self, vector: F64) -> F64:
        """Return all errors in standard deviations, what is known beforehand included."""
        errors = self.errors_px(vector)
        if self.weights is not None:
            errors = np.einsum("nij,nj->ni", self.weights, errors)
        known = [vector[0] / self.lens.focal_sd]
        if self.height_m is not None:
            known.append((camera_of(vector, self.lens).height_m - self.height_m) / HEIGHT_SD_M)
        return np.concatenate([errors.ravel(), known])

    def solve(self, start: F64, noise: Noise) -> Fit:
        """Refine a start: once with equal weights, then with those the first answer gives."""
        rough = least_squares(self.residuals, start, method="lm").x
        weighted = replace(self, weights=self._weights(rough, noise))
        found = least_squares(weighted.residuals, rough, method="lm")
        chi2, freedom = 2 * float(found.cost), self._freedom()
        # Errors larger than promised make the answer less sure, smaller ones never surer.
        scale = max(1.0, chi2 / freedom if freedom else 1.0)
        slopes = np.array(found.jac, dtype=np.float64)
        covariance = np.asarray(scale * np.linalg.pinv(slopes.T @ slopes), np.float64)
        errors = self.errors_px(found.x)
        return Fit(self.lens, found.x, covariance, errors, chi2, freedom)

    def _weights(self, vector: F64, noise: Noise) -> F64:
        here, step = self.project(vector, self.ground), 1e-4
        moved = [self.project(vector, self.ground + step * axis) for axis in np.eye(3)]
        slopes = np.stack([(m - here) / step for m in moved], axis=2)
        covariance = noise.ground_m**2 * slopes @ slopes.transpose(0, 2, 1)
        covariance += noise.pixel**2 * np.eye(2)
        return np.asarray(np.linalg.inv(np.linalg.cholesky(covariance)))

    def _freedom(self) -> int:
        known = int(self.lens.measured) + int(self.height_m is not None)
        return self.pixels.size + known - PARAMETERS


def _starts(problem: _Problem) -> list[F64]:
    """Return rough parameter vectors (7,) to refine: poses for several focal lengths."""
    matrix = problem.lens.camera_matrix
    bent = (problem.pixels - matrix[:2, 2]) / np.diag(matrix)[:2]
    straight = undistort(bent, problem.lens.distortion)
    if not np.isfinite(straight).all():
        raise CalibrationInvalid("pairs: a pixel is outside what the lens was measured for")
    if problem.lens.measured:
        return _poses(straight, problem.ground, 1.0)
    focals = [*FOCAL_STARTS, *_homography_focal(straight, problem.ground)]
    return [pose for focal in focals for pose in _poses(straight, problem.ground, focal)]


def _homography_focal(straight: F64, ground: F64) -> list[float]:
    """Return the focal factor that makes the ground's axes square and equal; none if it is not."""
    if np.ptp(ground[:, 2]) > 1e-6:
        return []
    homography = cv2.findHomography(ground[:, :2], straight, 0)[0]
    if homography is None:
        return []
    a, b = homography[:, 0], homography[:, 1]
    flat = np.array([a[:2] @ b[:2], a[:2] @ a[:2] - b[:2] @ b[:2]])
    deep = np.array([a[2] * b[2], a[2] ** 2 - b[2] ** 2])
    inverse_square = -float(flat @ deep) / max(float(flat @ flat), 1e-18)
    return [inverse_square**-0.5] if 1e-2 < inverse_square < 1e2 else []


def _poses(straight: F64, ground: F64, focal: float) -> list[F64]:
    count, turns, moves, _ = cv2.solvePnPGeneric(
        ground, straight / focal, np.eye(3), None, flags=cv2.SOLVEPNP_SQPNP
    )
    return [
        np.concatenate([[np.log(focal)], np.ravel(turns[i]), np.ravel(moves[i])])
        for i in range(count)
    ]
