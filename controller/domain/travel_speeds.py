"""How fast people move: a walking and a bus speed, learned from passages between two cameras."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from controller.domain.types import F64

MAX_ROUNDS: Final = 60
MIN_PASSAGES: Final = 30
"""Fewer passages than this change nothing."""
SLOWEST_SHARE: Final = 0.4
"""A passage slower than this share of the walking pace has a stop in it and teaches nothing."""


@dataclass(frozen=True, slots=True)
class Speeds:
    """Pace against the camera graph's walking time: 1 is that, 2 twice as fast; log-normal."""

    walk_pace: float = 1.0
    walk_log_sd: float = 0.18
    bus_pace: float = 3.2
    bus_log_sd: float = 0.40
    bus_share: float = 0.06
    fastest_pace: float = 9.0


def learned_speeds(walk_s: F64, taken_s: F64, start: Speeds = Speeds()) -> Speeds:
    """Return the speeds that explain (n,) passages best, by expectation-maximisation.

    `walk_s` is the camera graph's time on foot, `taken_s` what a passage took; pairs without a
    positive time are left out (Dempster, Laird and Rubin, 1977, for a mixture of two).
    """
    usable = (walk_s > 10.0) & (taken_s > 1.0)
    pace = np.log(walk_s[usable] / taken_s[usable])
    pace = pace[pace > np.log(SLOWEST_SHARE)]
    if len(pace) < MIN_PASSAGES:
        return start
    mean = np.log([start.walk_pace, start.bus_pace])
    sd = np.array([start.walk_log_sd, start.bus_log_sd])
    share = np.array([1 - start.bus_share, start.bus_share])
    for _ in range(MAX_ROUNDS):
        each = share * np.exp(-0.5 * ((pace[:, None] - mean) / sd) ** 2) / sd + 1e-12
        part = each / each.sum(axis=1, keepdims=True)
        weight = part.sum(axis=0)
        mean = (part * pace[:, None]).sum(axis=0) / weight
        sd = np.sqrt((part * (pace[:, None] - mean) ** 2).sum(axis=0) / weight).clip(0.08, 0.6)
        share = weight / weight.sum()
    return Speeds(
        walk_pace=float(np.exp(mean[0]).clip(0.6, 1.6)),
        walk_log_sd=float(sd[0]),
        bus_pace=float(np.exp(mean[1]).clip(1.8, 8.0)),
        bus_log_sd=float(sd[1]),
        bus_share=float(share[1].clip(0.01, 0.6)),
        fastest_pace=start.fastest_pace,
    )
