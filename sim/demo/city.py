"""The demo's plan: the scripted cameras in the middle, light cameras on a grid around them."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from sim.demo.truth import TruthCamera

_SPACING_M: Final = 180.0
_JITTER_M: Final = 25.0
_CLEARANCE_M: Final = 60.0


@dataclass(frozen=True, slots=True)
class Place:
    """A point on the plan, in metres."""

    x_m: float
    y_m: float


def light_places(scripted: tuple[TruthCamera, ...], count: int, seed: int) -> tuple[Place, ...]:
    """Return `count` places on a jittered 180 m grid, nearest to the scripted cameras first.

    None is closer than 60 m to a scripted camera. Deterministic for the same arguments.
    """
    rng = np.random.default_rng([seed, 506])
    own = np.array([[camera.x_m, camera.y_m] for camera in scripted] or [[0.0, 0.0]])
    centre = own.mean(axis=0)
    side = math.isqrt(count) + 6
    steps = (np.arange(side) - side / 2.0) * _SPACING_M
    grid = np.stack(np.meshgrid(steps + centre[0], steps + centre[1]), axis=-1).reshape(-1, 2)
    grid = grid + rng.uniform(-_JITTER_M, _JITTER_M, size=grid.shape)
    nearest = np.linalg.norm(grid[:, None, :] - own[None, :, :], axis=2).min(axis=1)
    free = grid[nearest >= _CLEARANCE_M]
    order = np.argsort(np.linalg.norm(free - centre, axis=1), kind="stable")
    return tuple(Place(float(x), float(y)) for x, y in free[order[:count]])
