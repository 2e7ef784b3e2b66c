"""Who was close to the subject and for how long, with honest uncertainty.

The unknown that matters is how tall people are: a head is placed on a plane at the mean head
height, and a wrong height moves a whole path towards the camera or away. So heights are drawn once
per person, paths are moved accordingly, picture noise is drawn per moment, and the minutes within
the rule's distance are counted in each draw. The draws give the expected minutes, a 90 % interval
and the probability that the rule is met; what straddles the rule is `undecided`.
"""

import itertools
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from controller.domain.linking import Person, link_people
from controller.domain.match import Calibration
from controller.domain.types import (
    F64,
    CameraView,
    ContactAssessment,
    ContactDecision,
    Episode,
    PersonTrack,
)

DRAWS: Final = 400
STEP_S: Final = 1.0
BRIDGE_INTERVALS: Final = 3.0
MIN_BRIDGE_S: Final = 3.0
POSSIBLE_GAP_S: Final = 120.0
EPISODE_GAP_S: Final = 10.0
SURE: Final = 0.95
HEIGHT_RANGE_M: Final = (1.0, 2.0)
MENTION_MINUTES: Final = 0.5
RULES: Final = Path(__file__).parent / "rules"


@dataclass(frozen=True, slots=True)
class ContactRule:
    """A named, versioned definition of a contact."""

    name: str
    distance_m: float
    minutes: float
    window_h: float
    days_before_onset: int


def load_rule(name: str = "cdc-2020-10-21") -> ContactRule:
    """Load a packaged rule by its name; a KeyError names those there are."""
    known = {path.stem: path for path in RULES.glob("*.toml")}
    if name not in known:
        raise KeyError(f"rule {name!r}: use one of {', '.join(sorted(known))}")
    raw: dict[str, Any] = tomllib.loads(known[name].read_text(encoding="utf-8"))
    return ContactRule(**raw)


@dataclass(frozen=True, slots=True)
class _Meeting:
    """Two people in one camera at common moments; `within` is (draws, n) booleans."""

    camera_id: str
    times_us: NDArray[np.int64]
    within: NDArray[np.bool_]
    distance_m: F64
    subject: tuple[PersonTrack, ...]
    other: tuple[PersonTrack, ...]


def assess_contacts(
    views: Sequence[CameraView], rule: ContactRule, calibration: Calibration, *, seed: int
) -> tuple[ContactAssessment, ...]:
    """Assess everyone who was near the subject, longest contact first."""
    people = link_people(views, calibration)
    rng = np.random.default_rng(seed)
    heights = rng.standard_normal(DRAWS)
    found = []
    for number, person in enumerate(people, start=1):
        own = rng.standard_normal(DRAWS)
        meetings = [
            meeting
            for view in views
            if (meeting := _meet(view, person, rule, (heights, own), rng)) is not None
        ]
        assessed = _assess(f"contact-{number}", person, meetings, rule)
        if assessed is not None:
            found.append(assessed)
    found.sort(key=lambda a: (-a.minutes, a.contact_id))
    return tuple(found)


def _meet(
    view: CameraView, person: Person, rule: ContactRule,
    draws: tuple[F64, F64], rng: np.random.Generator,
) -> _Meeting | None:  # fmt: skip
    subject = tuple(t for t in view.tracks if t.is_subject)
    other = tuple(t for t in view.tracks if t.tracklet_id in person.tracklet_ids)
    if not subject or not other or view.camera_height_m is None:
        return None
    bridge_s = max(MIN_BRIDGE_S, BRIDGE_INTERVALS * view.frame_interval_s)
    step_us = round(max(STEP_S, min(view.frame_interval_s, 5.0)) * 1e6)
    first = min(t.start_us for t in subject)
    last = max(t.end_us for t in subject)
    times = np.arange(first, last + 1, step_us, dtype=np.int64)
    mine, theirs = (_at(tracks, times, bridge_s) for tracks in (subject, other))
    common = ~np.isnan(mine[:, 0]) & ~np.isnan(theirs[:, 0])
    if not common.any():
        return None
    within = _within(view, mine[common], theirs[common], rule, draws, rng)
    plain = np.linalg.norm(mine[common, :2] - theirs[common, :2], axis=1)
    return _Meeting(view.camera_id, times[common], within, plain, subject, other)


def _at(tracks: Sequence[PersonTrack], times: NDArray[np.int64], bridge_s: float) -> F64:
    """Return (n, 3) x, y, noise at each moment; NaN where nothing was seen for `bridge_s`."""
    out = np.full((len(times), 3), np.nan)
    for track in tracks:
        if not len(track.times_us):
            continue
        right = np.clip(np.searchsorted(track.times_us, times), 0, len(track.times_us) - 1)
        left = np.clip(right - (track.times_us[right] > times), 0, None)
        inside = (times >= track.start_us) & (times <= track.end_us)
        inside &= (track.times_us[right] - track.times_us[left]) <= bridge_s * 1e6
        columns = np.column_stack([track.places_m, track.noise_sd_m])
        values = [np.interp(times, track.times_us, column) for column in columns.T]
        out[inside] = np.column_stack(values)[inside]
    return out


def _within(
    view: CameraView, mine: F64, theirs: F64, rule: ContactRule, draws: tuple[F64, F64],
    rng: np.random.Generator,
) -> NDArray[np.bool_]:  # fmt: skip
    scales = [_scale(view, draw) for draw in draws]
    separation = (
        scales[0][:, None, None] * mine[None, :, :2]
        - scales[1][:, None, None] * theirs[None, :, :2]
    )
    noise = np.sqrt(mine[:, 2] ** 2 + theirs[:, 2] ** 2)
    separation += rng.standard_normal(separation.shape) * noise[None, :, None]
    return np.asarray(np.linalg.norm(separation, axis=2) <= rule.distance_m)


def _scale(view: CameraView, draw: F64) -> F64:
    """Return how far a path moves from the pole's foot if the head is at another height."""
    if view.camera_height_m is None or view.head_height_m is None:
        return np.ones_like(draw)
    height = view.head_height_m + (view.head_height_sd_m or 0.0) * draw
    height = np.clip(height, *HEIGHT_RANGE_M)
    return np.asarray((view.camera_height_m - height) / (view.camera_height_m - view.head_height_m))


def _assess(
    contact_id: str, person: Person, meetings: Sequence[_Meeting], rule: ContactRule
) -> ContactAssessment | None:
    if not meetings:
        return None
    minutes = _window_minutes(meetings, rule)
    expected = float(minutes.mean())
    if expected < MENTION_MINUTES:
        return None
    low, high = (float(np.quantile(minutes, q)) for q in (0.05, 0.95))
    probability = float((minutes >= rule.minutes).mean())
    episodes = tuple(e for m in meetings for e in _episodes(m))
    decision = _decide(probability)
    near = np.concatenate([m.distance_m[m.within.mean(0) >= 0.5] for m in meetings])
    median = float(np.median(near)) if len(near) else float("nan")
    return ContactAssessment(
        contact_id=contact_id,
        tracklet_ids=tuple(sorted(person.tracklet_ids, key=lambda i: i.bytes)),
        minutes=expected,
        minutes_interval=(low, high),
        minutes_possible=expected + _gap_minutes(episodes),
        distance_m_median=median,
        mask_subject=_common([e.mask_subject for e in episodes]),
        mask_contact=_common([e.mask_contact for e in episodes]),
        decision=decision,
        probability=probability,
        reason=_reason(decision, expected, (low, high), probability, rule),
        episodes=episodes,
    )


def _window_minutes(meetings: Sequence[_Meeting], rule: ContactRule) -> F64:
    """Return (draws,) the most minutes within the distance in any window of the rule."""
    times = np.concatenate([m.times_us for m in meetings])
    within = np.concatenate([m.within for m in meetings], axis=1)
    steps = np.concatenate([np.full(len(m.times_us), _step_s(m)) for m in meetings])
    window_us = rule.window_h * 3600e6
    starts = sorted({int(m.times_us[0]) for m in meetings})
    totals = [
        (within[:, inside] * steps[inside]).sum(axis=1) / 60
        for start in starts
        if (inside := (times >= start) & (times < start + window_us)).any()
    ]
    return np.asarray(np.max(totals, axis=0))


def _step_s(meeting: _Meeting) -> float:
    if len(meeting.times_us) < 2:
        return STEP_S
    return float(np.median(np.diff(meeting.times_us))) / 1e6


def _episodes(meeting: _Meeting) -> list[Episode]:
    near = np.flatnonzero(meeting.within.mean(0) >= 0.5)
    if not len(near):
        return []
    times = meeting.times_us[near]
    breaks = np.flatnonzero(np.diff(times) > EPISODE_GAP_S * 1e6) + 1
    step_us = _step_s(meeting) * 1e6
    return [
        Episode(
            camera_id=meeting.camera_id,
            start_us=int(meeting.times_us[run[0]]),
            end_us=int(meeting.times_us[run[-1]]),
            minutes=float(meeting.within[:, run].mean(0).sum() * step_us / 60e6),
            distance_m_median=float(np.median(meeting.distance_m[run])),
            mask_subject=_mask_over(meeting.subject, meeting.times_us[run]),
            mask_contact=_mask_over(meeting.other, meeting.times_us[run]),
        )
        for run in np.split(near, breaks)
    ]


def _mask_over(tracks: Sequence[PersonTrack], times: NDArray[np.int64]) -> str:
    """Return the state that held for most of these moments."""
    states = [state for t in times if (state := _mask_at(tracks, int(t))) is not None]
    return max(sorted(set(states)), key=states.count) if states else "unsure"


def _mask_at(tracks: Sequence[PersonTrack], at_us: int) -> str | None:
    for track in tracks:
        if track.start_us <= at_us <= track.end_us:
            earlier = [m.state for m in track.masks if m.at_us <= at_us]
            return earlier[-1] if earlier else None
    return None


def _gap_minutes(episodes: Sequence[Episode]) -> float:
    """Return the minutes between episodes of one camera that are near enough to be one stay."""
    gaps: Mapping[str, list[Episode]] = {
        camera: sorted((e for e in episodes if e.camera_id == camera), key=lambda e: e.start_us)
        for camera in {e.camera_id for e in episodes}
    }
    total = 0.0
    for stays in gaps.values():
        for before, after in itertools.pairwise(stays):
            gap_s = (after.start_us - before.end_us) / 1e6
            total += gap_s / 60 if gap_s <= POSSIBLE_GAP_S else 0.0
    return total


def _decide(probability: float) -> ContactDecision:
    if probability >= SURE:
        return "contact"
    return "no_contact" if probability <= 1 - SURE else "undecided"


def _common(states: Sequence[str]) -> str:
    if not states:
        return "unsure"
    return states[0] if len(set(states)) == 1 else "mixed"


def _reason(
    decision: ContactDecision, minutes: float, interval: tuple[float, float],
    probability: float, rule: ContactRule,
) -> str:  # fmt: skip
    verdict = {
        "contact": "meets the rule",
        "no_contact": "does not meet the rule",
        "undecided": "may or may not meet the rule",
    }[decision]
    return (
        f"{minutes:.1f} min within {rule.distance_m} m (90 %: {interval[0]:.1f}-{interval[1]:.1f}) "
        f"{verdict} of {rule.minutes:g} min in {rule.window_h:g} h "
        f"(probability {probability:.2f}, rule {rule.name})."
    )
