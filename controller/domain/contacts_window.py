"""Cumulative minutes in the rule's window, and quantiles of weighted draws."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from controller.domain.contacts_minutes import Together
from controller.domain.types import F64

INTERVAL: Final = (0.04, 0.96)
"""Which quantiles of the draws make a 90 % interval. The plain ones cover 85 to 88 % of the true
minutes in scenes, as no model of people is complete; these were set on seeds 1 and 2 and judged on
others (`docs/contacts.md`)."""
WHOLE: Final = 1e-3
"""Minutes that rounding may take from a sum that just meets the rule."""

MAX_BEGINS: Final = 5_000
"""A window is tried at no more moments than this, evenly chosen."""


def most_minutes(meetings: Sequence[Together], kind: str, window_h: float) -> F64:
    """Return (draws,) the most minutes within the distance in any window of `window_h` hours.

    `kind` is the presence that counts: "seen", "drawn" or "possible". Time runs in UTC, so a
    window over midnight or a clock change is as long as any other.
    """
    ordered = sorted(meetings, key=lambda m: int(m.times_us[0]))
    window_us = round(window_h * 3600e6)
    first, last = int(ordered[0].times_us[0]), max(int(m.times_us[-1]) for m in ordered)
    if last - first < window_us:
        sums = [getattr(m, kind).sum(axis=1, dtype=np.float64) * m.step_s for m in ordered]
        return np.asarray(np.sum(sums, axis=0) / 60)
    return _sliding(ordered, kind, window_us)


def _sliding(ordered: Sequence[Together], kind: str, window_us: int) -> F64:
    """Slide the window; some best one begins with a moment, as moving it there loses nothing."""
    times = np.concatenate([m.times_us for m in ordered])
    shares = np.concatenate([getattr(m, kind) * np.float32(m.step_s) for m in ordered], axis=1)
    order = np.argsort(times, kind="stable")
    times, shares = times[order], shares[:, order]
    ends = np.searchsorted(times, times + window_us)
    begins = np.arange(len(times))
    if len(times) > MAX_BEGINS:
        begins = begins[:: -(-len(times) // MAX_BEGINS)]
    most = [_best_sum(row, begins, ends[begins]) for row in shares]
    return np.asarray(most) / 60


def _best_sum(shares: np.ndarray, begins: np.ndarray, ends: np.ndarray) -> float:
    running = np.concatenate([[0.0], np.cumsum(shares, dtype=np.float64)])
    return float((running[ends] - running[begins]).max())


def joint_weight(meetings: Sequence[Together]) -> F64:
    """Return (draws,) normalised weights of the draws over all meetings of a contact."""
    weight = np.prod([m.weight for m in meetings], axis=0) + 1e-12
    return np.asarray(weight / weight.sum())


def weighted_quantiles(values: F64, weight: F64, shares: Sequence[float]) -> tuple[float, ...]:
    """Return the values below which the shares of the weight lie."""
    order = np.argsort(values, kind="stable")
    below = np.cumsum(weight[order])
    at = np.clip(np.searchsorted(below, np.asarray(shares) * below[-1]), 0, len(order) - 1)
    return tuple(float(value) for value in values[order][at])
