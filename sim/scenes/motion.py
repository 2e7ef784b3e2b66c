"""True paths: walk in, stay at a place (standing or on a seat), perhaps leave for a while, go."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

STEP_S: Final = 0.4
SIT_DOWN_S: Final = 1.5
WALK_M: Final = 5.0
SWAY: Final = {"standing": (0.12, 15.0), "seated": (0.04, 20.0)}
"""Spread in metres and memory in seconds of somebody who stays."""
SHIFT_EVERY_S: Final = 240.0
SHIFT_M: Final = 0.3
AWAY_SHARE: Final = 0.12
AWAY_MEAN_S: Final = 240.0
AWAY_FROM_S: Final = 240.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What one person does in a scene; times in seconds of the scene, places in metres."""

    place_m: tuple[float, float]
    arrives_s: float
    leaves_s: float
    seated: bool
    comes_from_m: tuple[float, float]
    goes_to_m: tuple[float, float]
    speed_m_s: float
    away: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Life:
    """The truth of one person: `times_s` (n,), heads (n, 3) in metres, `there` (n,)."""

    times_s: F64
    heads_m: F64
    there: NDArray[np.bool_]


def live(
    plan: Plan, standing_m: float, drop_m: float, ends_s: float, rng: np.random.Generator
) -> Life:
    """Act a plan out on a grid of `STEP_S`, from 0 to `ends_s`."""
    times = np.arange(0, ends_s, STEP_S)
    staying = _stay(plan, times, rng)
    heads = np.column_stack([staying, np.full(len(times), standing_m)])
    there = np.zeros(len(times), bool)
    spans = [(plan.arrives_s, plan.leaves_s)]
    if plan.away is not None:
        spans = [(plan.arrives_s, plan.away[0]), (plan.away[1], plan.leaves_s)]
    for arrives, leaves in spans:
        here = (times >= arrives) & (times <= leaves)
        there |= here | _walk(heads, times, arrives, plan, plan.comes_from_m, into=True)
        there |= _walk(heads, times, leaves, plan, plan.goes_to_m, into=False)
        if plan.seated:
            up = np.minimum(times - arrives, leaves - times) / SIT_DOWN_S
            heads[here, 2] -= drop_m * np.clip(up[here], 0, 1)
    return Life(times, heads, there)


def _walk(
    heads: F64, times: F64, at_s: float, plan: Plan, other_m: tuple[float, float], *, into: bool
) -> NDArray[np.bool_]:
    """Write the way between the place and `other_m` into `heads`; return when it is walked."""
    far, near = np.array(other_m), np.array(plan.place_m)
    lasts_s = float(np.linalg.norm(far - near)) / plan.speed_m_s
    begins = at_s - lasts_s if into else at_s
    on_it = (times >= begins) & (times < begins + lasts_s)
    share = (times[on_it] - begins) / lasts_s
    share = 1 - share if into else share
    heads[on_it, :2] = near + share[:, None] * (far - near)
    return np.asarray(on_it)


def _stay(plan: Plan, times: F64, rng: np.random.Generator) -> F64:
    """Sway about the place; who stands also shifts now and then."""
    spread, memory_s = SWAY["seated" if plan.seated else "standing"]
    keep = np.exp(-STEP_S / memory_s)
    noise = rng.standard_normal((len(times), 2)) * spread * np.sqrt(1 - keep**2)
    sway = np.zeros((len(times), 2))
    for axis in (0, 1):
        value = 0.0
        for i, step in enumerate(noise[:, axis].tolist()):
            value = keep * value + step
            sway[i, axis] = value
    if not plan.seated:
        shifts = rng.random(len(times)) < STEP_S / SHIFT_EVERY_S
        moved = np.cumsum(shifts)
        spots = rng.standard_normal((int(moved.max(initial=0)) + 1, 2)) * SHIFT_M
        spots[0] = 0
        sway += spots[moved]
    return np.asarray(np.array(plan.place_m) + sway)


def draw_away(
    arrives_s: float, leaves_s: float, rng: np.random.Generator
) -> tuple[float, float] | None:
    """Draw whether and when somebody leaves for a while and comes back."""
    lasts_s = float(np.clip(rng.exponential(AWAY_MEAN_S), 30, 900))
    room_s = leaves_s - arrives_s - lasts_s - 60
    if leaves_s - arrives_s < AWAY_FROM_S or room_s <= 0 or rng.random() > AWAY_SHARE:
        return None
    begins = arrives_s + 30 + float(rng.random()) * room_s
    return begins, begins + lasts_s
