"""A person's stay in front of one camera: seen stretches, gaps between them, and the two ends.

A face is seen for a part of the time only. Between two stretches the person may have stayed with
the head turned, or gone away and come back; the length of the gap tells which is likelier. Before
the first and after the last stretch somebody may also have been there unseen, the more so the
more of the stay is hidden.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from controller.domain.contacts_model import PresenceModel
from controller.domain.contacts_paths import MOVING_M_S, Moments, SmoothPath, stretches
from controller.domain.types import F64

MIN_BRIDGE_S: Final = 3.0
WALK_SHAPE: Final = 20
WALKS: Final = 4.0
"""Nobody walks unseen through the picture for longer than this many mean times."""
BRIDGE_INTERVALS: Final = 3.0
"""A face missed for a few frames is no gap."""


@dataclass(frozen=True, slots=True)
class Spells:
    """What is known of how long hidden spells last: `count` of them took `total_s` together."""

    count: int
    total_s: float

    @property
    def mean_s(self) -> float:
        """Return the mean spell."""
        return self.total_s / self.count

    def draw(self, rng: np.random.Generator, draws: int) -> F64:
        """Draw exponential times (draws,) whose rate is itself unknown: gamma, from `count`."""
        return np.asarray(
            rng.exponential(1.0, draws) * self.total_s / rng.gamma(self.count, 1.0, draws)
        )


@dataclass(frozen=True, slots=True)
class Hidden:
    """Grid moments [first, beyond) in which a person is unseen but may be there.

    `stayed` is the probability of having stayed through a gap; at an end of the stay `edge` says
    how long hidden times are there, `stayed` the probability that there was one, and `forward`
    tells whether it runs on from the last sight. `needs` are the tracks (indices) on its sides.
    """

    first: int
    beyond: int
    stayed: float
    needs: tuple[int, ...]
    edge: Spells | None = None
    forward: bool = True


@dataclass(frozen=True, slots=True)
class Stay:
    """One person on a grid of n moments: `places_m` (n, 2), `sd_m`, `moving`, `track` (n,).

    `track` is the index of the tracklet that saw the person, -1 where none did; `wander_m` is how
    far somebody hidden may be from `places_m` (one standard deviation, 0 where seen).
    """

    paths: tuple[SmoothPath, ...]
    places_m: F64
    sd_m: F64
    wander_m: F64
    moving: np.ndarray
    track: np.ndarray
    hidden: tuple[Hidden, ...]

    def possible(self) -> np.ndarray:
        """Return (n,) where the person was seen or may have been there unseen."""
        there = self.track >= 0
        for spell in self.hidden:
            there[spell.first : spell.beyond] = True
        return np.asarray(there)


def bridge_us(frame_interval_s: float) -> int:
    """Return for how long a face may be missed without a gap, in µs."""
    return round(max(MIN_BRIDGE_S, BRIDGE_INTERVALS * frame_interval_s) * 1e6)


def stay_on(
    grid_us: Moments, paths: Sequence[SmoothPath], bridge: int, model: PresenceModel
) -> Stay:
    """Lay a person's tracklets of one camera on a grid of moments."""
    n = len(grid_us)
    stay = Stay(
        tuple(paths), np.zeros((n, 2)), np.zeros(n), np.zeros(n), np.zeros(n, bool),
        np.full(n, -1), (),
    )  # fmt: skip
    runs = sorted(
        (int(path.times_us[a]), int(path.times_us[b]), k)
        for k, path in enumerate(paths)
        for a, b in stretches(path, bridge)
    )
    seen = [(lo, hi, k) for start, end, k in runs if (hi := _after(grid_us, end)) > (
        lo := int(np.searchsorted(grid_us, start)))]  # fmt: skip
    for lo, hi, k in seen:
        _fill(stay, grid_us, lo, hi, k)
    hidden = _gaps(stay, grid_us, seen, model) + _ends(stay, grid_us, seen, model)
    return Stay(
        stay.paths, stay.places_m, stay.sd_m, stay.wander_m, stay.moving, stay.track, tuple(hidden)
    )


def stay_probability(gap_s: float, model: PresenceModel) -> float:
    """Return how likely somebody who is seen again after `gap_s` had stayed."""
    hidden = (1 - model.long_share) * _exponential(gap_s, model.short_mean_s)
    hidden += model.long_share * _exponential(gap_s, model.long_mean_s)
    away = model.away_per_gap * _exponential(gap_s, model.away_mean_s)
    return hidden / (hidden + away)


def _exponential(value: float, mean: float) -> float:
    return math.exp(-value / mean) / mean


def _after(grid_us: Moments, moment: int) -> int:
    return int(np.searchsorted(grid_us, moment, side="right"))


def _fill(stay: Stay, grid_us: Moments, lo: int, hi: int, k: int) -> None:
    path, span = stay.paths[k], slice(lo, hi)
    # Relative times keep microseconds exact in doubles.
    at, known = grid_us[span] - path.times_us[0], path.times_us - path.times_us[0]
    for axis in (0, 1):
        stay.places_m[span, axis] = np.interp(at, known, path.places_m[:, axis])
    stay.sd_m[span] = np.interp(at, known, path.sd_m)
    stay.moving[span] = np.interp(at, known, path.speed_m_s) > MOVING_M_S
    stay.track[span] = k


def _gaps(
    stay: Stay, grid_us: Moments, seen: Sequence[tuple[int, int, int]], model: PresenceModel
) -> list[Hidden]:
    """Bridge what lies between two stretches with a straight line and its uncertainty."""
    found, reach, last = [], 0, 0
    for (_, hi, k), (then, _, other) in pairwise(seen):
        reach, last = (hi, k) if hi >= reach else (reach, last)
        gap_s = (grid_us[then] - grid_us[reach - 1]) / 1e6
        if then <= reach or gap_s > model.max_gap_s:
            continue
        span, share = slice(reach, then), np.linspace(0, 1, then - reach + 2)[1:-1]
        before, after = stay.places_m[reach - 1], stay.places_m[then]
        stay.places_m[span] = before + share[:, None] * (after - before)
        stay.sd_m[span] = stay.sd_m[reach - 1]
        bridge = model.wander_m2_s * gap_s * share * (1 - share)
        stay.wander_m[span] = np.minimum(np.sqrt(bridge), model.wander_max_m)
        found.append(
            Hidden(reach, then, stay_probability(gap_s, model), tuple(sorted({last, other})))
        )
    return found


def _ends(
    stay: Stay, grid_us: Moments, seen: Sequence[tuple[int, int, int]], model: PresenceModel
) -> list[Hidden]:
    """Say how long somebody may have been there before the first and after the last sight."""
    if not seen or len(grid_us) < 2:
        return []
    step_s = (grid_us[1] - grid_us[0]) / 1e6
    share, spells = _hidden_share(seen, step_s, model)
    far, near = (round(s / step_s) for s in (model.max_edge_s, WALKS * model.walk_in_s))
    first, beyond = seen[0][0], max(hi for _, hi, _ in seen)
    last = next(k for _, hi, k in seen if hi == beyond)
    found = []
    for at, k, forward in ((first, seen[0][2], False), (beyond - 1, last, True)):
        # Who walks into or out of the picture was there only for some steps before or after.
        walks = bool(stay.moving[at])
        reach = near if walks else far
        lo, hi = (beyond, min(len(grid_us), beyond + reach)) if forward else (
            max(0, first - reach), first)  # fmt: skip
        if hi <= lo:
            continue
        stay.places_m[lo:hi], stay.sd_m[lo:hi] = stay.places_m[at], stay.sd_m[at]
        age_s = np.arange(1, hi - lo + 1) * step_s
        age_s = age_s if forward else age_s[::-1]
        stay.wander_m[lo:hi] = np.minimum(np.sqrt(model.wander_m2_s * age_s), model.wander_max_m)
        unseen = share**2 / (share**2 + model.sudden**2)
        found.append(
            Hidden(lo, hi, share, (k,), Spells(WALK_SHAPE, WALK_SHAPE * model.walk_in_s), forward)
            if walks else Hidden(lo, hi, unseen, (k,), spells, forward)
        )  # fmt: skip
    return found


def _hidden_share(
    seen: Sequence[tuple[int, int, int]], step_s: float, model: PresenceModel
) -> tuple[float, Spells]:
    """Estimate from a stay's own gaps how much of it is hidden, and how long a spell lasts."""
    gaps_s, reach = [], seen[0][1]
    for lo, hi, _ in seen[1:]:
        if lo > reach and (lo - reach) * step_s <= model.max_gap_s:
            gaps_s.append((lo - reach) * step_s)
        reach = max(reach, hi)
    stayed = [stay_probability(gap, model) * gap for gap in gaps_s]
    seen_s = sum((hi - lo) * step_s for lo, hi, _ in seen)
    usual_s = model.usual_weight_s
    share = (sum(stayed) + model.usual_hidden * usual_s) / (sum(stayed) + seen_s + usual_s)
    return share, Spells(len(stayed) + 2, sum(stayed) + 2 * model.short_mean_s)
