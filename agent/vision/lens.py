"""A lens' bend of the picture: OpenCV's five coefficients k1, k2, p1, p2, k3."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
STEPS: Final = 50
SETTLED: Final = 1e-10
CLOSE: Final = 1e-6
"""How well a straightened point must bend back, in focal lengths."""


def distort(points: F64, coefficients: F64) -> F64:
    """Bend ideal points (N, 2), in focal lengths from the axis, as the lens does."""
    radial, sideways = _terms(points, coefficients)
    return np.asarray(points * radial + sideways)


def undistort(points: F64, coefficients: F64) -> F64:
    """Straighten bent points (N, 2), in focal lengths; NaN where the lens model has no answer."""
    if not coefficients.any():
        return points
    straight = points
    with np.errstate(all="ignore"):
        for _ in range(STEPS):
            radial, sideways = _terms(straight, coefficients)
            before, straight = straight, (points - sideways) / radial
            if np.abs(straight - before).max(initial=0.0) < SETTLED:
                break
        off = np.abs(distort(straight, coefficients) - points).max(axis=1)
    # Beyond the radius where the polynomial folds back, a pixel belongs to no ray.
    return np.where((off < CLOSE)[:, None], straight, np.nan)


def _terms(points: F64, coefficients: F64) -> tuple[F64, F64]:
    k1, k2, p1, p2, k3 = coefficients
    x, y = points[:, 0], points[:, 1]
    square = x * x + y * y
    radial = 1 + square * (k1 + square * (k2 + square * k3))
    sideways = np.stack(
        [2 * p1 * x * y + p2 * (square + 2 * x * x), p1 * (square + 2 * y * y) + 2 * p2 * x * y],
        axis=1,
    )
    return radial[:, None], sideways
