"""From moments to episodes: when and where two people were probably close, and in which masks."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from controller.domain.contacts_minutes import Together
from controller.domain.contacts_window import INTERVAL, weighted_quantiles
from controller.domain.types import F64, Episode, PersonTrack

EPISODE_GAP_S: Final = 10.0
PROBABLE: Final = 0.5
MAX_EPISODES: Final = 500
"""A contact with more episodes than this keeps the longest."""


def episodes(
    meetings: Sequence[Together], weight: F64,
    subject: Sequence[PersonTrack], contact: Sequence[PersonTrack],
) -> tuple[Episode, ...]:  # fmt: skip
    """Return the stretches in which the two were probably within the distance, in order of time.

    Where they never probably were, the stretches in which it was at least half as likely as ever.
    """
    near = [np.asarray(weight @ m.drawn) for m in meetings]
    peak = max((float(n.max()) for n in near), default=0.0)
    least = PROBABLE if peak >= PROBABLE else peak / 2
    found = [
        _episode(meeting, run, weight, subject, contact)
        for meeting, probable in zip(meetings, near, strict=True)
        for run in _runs(meeting, np.flatnonzero((probable >= least) & (probable > 0)))
    ]
    found = sorted(found, key=lambda e: -e.minutes)[:MAX_EPISODES]
    return tuple(sorted(found, key=lambda e: (e.start_us, e.camera_id)))


def _runs(meeting: Together, near: np.ndarray) -> list[np.ndarray]:
    if not len(near):
        return []
    gap_us = max(EPISODE_GAP_S, 2 * meeting.step_s) * 1e6
    breaks = np.flatnonzero(np.diff(meeting.times_us[near]) > gap_us) + 1
    return [np.arange(run[0], run[-1] + 1) for run in np.split(near, breaks)]


def _episode(
    meeting: Together, run: np.ndarray, weight: F64,
    subject: Sequence[PersonTrack], contact: Sequence[PersonTrack],
) -> Episode:  # fmt: skip
    minutes = meeting.drawn[:, run].sum(axis=1, dtype=np.float64) * meeting.step_s / 60
    low, high = weighted_quantiles(minutes, weight, INTERVAL)
    times = meeting.times_us[run]
    return Episode(
        camera_id=meeting.camera_id,
        start_us=int(times[0]),
        end_us=int(times[-1]),
        minutes=float(weight @ minutes),
        distance_m_median=float(np.median(meeting.distance_m[run])),
        mask_subject=mask_over(subject, times),
        mask_contact=mask_over(contact, times),
        minutes_interval=(low, high),
    )


def mask_over(tracks: Sequence[PersonTrack], times_us: np.ndarray) -> str:
    """Return the state that held for most of these moments; "unsure" if no face was seen."""
    counts: dict[str, int] = {}
    for track in tracks:
        at = [m.at_us for m in track.masks]
        inside = times_us[(times_us >= track.start_us) & (times_us <= track.end_us)]
        index = np.searchsorted(np.array(at, np.int64), inside, side="right") - 1
        for k, n in zip(*np.unique(index[index >= 0], return_counts=True), strict=True):
            state = track.masks[int(k)].state
            counts[state] = counts.get(state, 0) + int(n)
    return max(sorted(counts), key=lambda state: counts[state]) if counts else "unsure"


def common_mask(states: Sequence[str]) -> str:
    """Return the state of all episodes in which a face was seen, "mixed" if they differ."""
    known = {state for state in states if state != "unsure"}
    if not known:
        return "unsure"
    return known.pop() if len(known) == 1 else "mixed"
