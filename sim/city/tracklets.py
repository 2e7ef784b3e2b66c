"""What boxes make of passages: misses, broken tracklets, qualities, and clocks that are wrong."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from sim.city.cameras import Cameras, face_px
from sim.city.draws import Draws
from sim.city.passing import Passages
from sim.city.types import F32, F64, I64, START_US, Bools, CityPlan, Sightings
from sim.scenes.camera import LEAST_FACE_PX

LEAST_SEEN_S: Final = 1.0
QUALITY_FLOOR: Final = 0.05
"""Below it a box keeps a tracklet to itself, as agents do by default."""
BROKEN: Final = 0.15
BROKEN_FROM_S: Final = 5.0
BREAK_S: Final = (2.6, 6.0)
MASK_CHANGES: Final = 0.02
FULL_PX: Final = 75.0
COVERED: Final = 0.06
"""Whose face a nearer head hides nearly all of the time."""
NIGHT_HOURS: Final = (6.0, 19.5)


@dataclass(frozen=True, slots=True)
class Recorded:
    """n tracklets, (n,) each, with what only the truth may tell: whose, of which passage, when.

    `row` of the crowd, `passage` a row of the passages, `start_s`, `end_s` true seconds.
    """

    sightings: Sightings
    row: I64
    passage: I64
    start_s: F64
    end_s: F64


def detectable(cameras: Cameras, passages: Passages) -> Bools:
    """Tell which passages showed a face of at least 28 px for a second to a camera that was up."""
    long = passages.end_s - passages.start_s >= LEAST_SEEN_S
    wide = face_px(cameras.optics, passages.camera, passages.near_m) >= LEAST_FACE_PX
    return np.asarray(
        long & wide & ~cameras.is_down(passages.camera, passages.start_s, passages.end_s)
    )


def qualities(draws: Draws, cameras: Cameras, passages: Passages, px: F64) -> F64:
    """Return how good each passage's best faces are: size, angle, light, heads in front, luck."""
    size = ((px - 20.0) / (FULL_PX - 20.0)).clip(0.1, 1.0) ** 0.6
    hour = passages.start_s % 86_400 / 3600
    dark = ~cameras.sites.indoor[passages.camera]
    dark &= (hour < NIGHT_HOURS[0]) | (hour > NIGHT_HOURS[1])
    angle = 0.45 + 0.55 * ((passages.cosine - 0.42) / 0.58).clip(0, 1)
    best = size * angle * np.where(dark, 0.75, 1.0)
    best += 0.12 * draws.normal("quality", passages.key)
    covered = draws.chance("covered", COVERED, passages.key)
    shown = np.where(covered, 0.25 * draws.uniform("how far", passages.key), 1.0)
    return np.asarray((best * shown).clip(0.005, 0.99))


def record(plan: CityPlan, draws: Draws, cameras: Cameras, passages: Passages) -> Recorded:
    """Return what the boxes hold of passages, in the same order."""
    px = face_px(cameras.optics, passages.camera, passages.near_m)
    quality = qualities(draws, cameras, passages, px)
    found = detectable(cameras, passages) & ~_missed(plan, draws, passages, quality)
    which, start, end, flipped, part = _cut(draws, passages, np.flatnonzero(found))
    some = passages.take(which)
    luck = draws.normal("part", some.key, part)
    wrong_s = cameras.clock_error_s(some.camera, start)
    sightings = Sightings(
        sighting=draws.bits("sighting", some.key, part),
        camera=some.camera,
        start_us=START_US + ((start + wrong_s) * 1e6).astype(np.int64),
        end_us=START_US + ((end + wrong_s) * 1e6).astype(np.int64),
        time_uncertainty_s=cameras.claim_s[some.camera],
        masked=some.masked ^ flipped,
        quality=(quality[which] + 0.03 * luck * (part > 0)).clip(0.005, 0.99).astype(np.float32),
        face_px=px[which].astype(np.float32),
        visible_share=_visible(draws, some).astype(np.float32),
        published=np.asarray(quality[which] >= QUALITY_FLOOR),
    )
    return Recorded(sightings, some.row, which, start, end)


def _visible(draws: Draws, some: Passages) -> F32:
    return np.asarray(0.55 + 0.4 * draws.uniform("visible", some.key), np.float32)


def _missed(plan: CityPlan, draws: Draws, passages: Passages, quality: F64) -> Bools:
    """Draw which passages leave no tracklet: poor and short ones more often."""
    lasts = passages.end_s - passages.start_s
    weight = (1.5 - quality) * np.where(lasts < 2.0, 1.4, 0.9)
    share = plan.miss_rate * weight / MISS_WEIGHT
    return draws.chance("missed", np.minimum(share, 0.98), passages.key)


MISS_WEIGHT: Final = 0.93
"""Mean weight of detectable passages, so that `miss_rate` is what is missed on average."""


def _cut(draws: Draws, passages: Passages, found: I64) -> tuple[I64, F64, F64, Bools, I64]:
    """Break some tracklets in two; return passage, true start and end, mask flipped, and part."""
    key = passages.key[found]
    start = passages.start_s[found] + 0.25 * draws.uniform("first seen", key)
    end = passages.end_s[found]
    changes = draws.chance("mask changes", MASK_CHANGES, key)
    breaks = (end - start > BROKEN_FROM_S) & (draws.chance("broken", BROKEN, key) | changes)
    at = start + (end - start) * (0.25 + 0.4 * draws.uniform("broken at", key))
    gap = BREAK_S[0] + (BREAK_S[1] - BREAK_S[0]) * draws.uniform("gap", key)
    gap = np.where(changes, 0.4, np.minimum(gap, 0.3 * (end - start)))
    second = np.flatnonzero(breaks & (end - at - gap > 0.8))
    cut = np.zeros(len(found), bool)
    cut[second] = True
    order = np.argsort(np.concatenate([found, found[second]]), kind="stable")
    which = np.concatenate([found, found[second]])[order]
    starts = np.concatenate([start, (at + gap)[second]])[order]
    ends = np.concatenate([np.where(cut, at, end), end[second]])[order]
    flipped = np.concatenate([np.zeros(len(found), bool), changes[second]])[order]
    part = np.concatenate([np.zeros(len(found), np.int64), np.ones(len(second), np.int64)])[order]
    return which, starts, ends, flipped, part
