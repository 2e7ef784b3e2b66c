"""Which tracklets around the subject are the same other person?

Average-link clustering on calibrated similarity, with one hard rule: two tracklets that are seen
at the same time are two people.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final
from uuid import UUID

import numpy as np

from controller.domain.match import Calibration
from controller.domain.types import CameraView, PersonTrack

LINK_LLR: Final = 3.0
"""Least mean log-likelihood ratio to call two groups one person."""
OVERLAP_US: Final = 1_500_000
MAX_TRACKS: Final = 400
"""More tracklets than this around one case are cut to the longest."""


@dataclass(frozen=True, slots=True)
class Person:
    """One other person: all tracklets that are taken to be theirs."""

    tracklet_ids: frozenset[UUID]
    first_us: int


def link_people(views: Sequence[CameraView], calibration: Calibration) -> tuple[Person, ...]:
    """Group the tracklets of everyone but the subject, in order of their first appearance."""
    tracks = [t for v in views for t in v.tracks if not t.is_subject]
    tracks = sorted(tracks, key=lambda t: (t.start_us - t.end_us, t.tracklet_id.bytes))
    tracks = sorted(tracks[:MAX_TRACKS], key=lambda t: (t.start_us, t.tracklet_id.bytes))
    groups = [[i] for i in range(len(tracks))]
    scores = _pair_llr(tracks, calibration)
    while (best := _best_merge(groups, scores)) is not None:
        left, right = best
        groups[left] = groups[left] + groups[right]
        del groups[right]
    people = [
        Person(
            frozenset(tracks[i].tracklet_id for i in group),
            min(tracks[i].start_us for i in group),
        )
        for group in groups
    ]
    return tuple(sorted(people, key=lambda p: (p.first_us, sorted(p.tracklet_ids)[0].bytes)))


def _best_merge(groups: list[list[int]], scores: np.ndarray) -> tuple[int, int] | None:
    best, found = LINK_LLR, None
    for left, right in combinations(range(len(groups)), 2):
        block = scores[np.ix_(groups[left], groups[right])]
        if np.isneginf(block).any():
            continue
        mean = float(block.mean())
        if mean > best:
            best, found = mean, (left, right)
    return found


def _pair_llr(tracks: Sequence[PersonTrack], calibration: Calibration) -> np.ndarray:
    scores = np.full((len(tracks), len(tracks)), -np.inf)
    for i, j in combinations(range(len(tracks)), 2):
        a, b = tracks[i], tracks[j]
        together = min(a.end_us, b.end_us) - max(a.start_us, b.start_us)
        if a.template is None or b.template is None or together > OVERLAP_US:
            continue
        scores[i, j] = scores[j, i] = calibration.llr(
            float(a.template @ b.template), _main_mask(a), _main_mask(b)
        )
    return scores


def _main_mask(track: PersonTrack) -> str:
    """Return the state that held longest."""
    if not track.masks:
        return "unsure"
    ends = [m.at_us for m in track.masks[1:]] + [track.end_us]
    spans: dict[str, int] = {}
    for moment, end in zip(track.masks, ends, strict=True):
        spans[moment.state] = spans.get(moment.state, 0) + max(end - moment.at_us, 1)
    return max(sorted(spans), key=lambda state: spans[state])
