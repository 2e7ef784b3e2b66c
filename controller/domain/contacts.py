"""Who was close to the subject and for how long, with honest uncertainty.

The way: link the tracklets of everybody else into people (`linking`), smooth every path
(`contacts_paths`), lay each person over each stay of the subject (`contacts_presence`), count the
minutes within the rule's distance in Monte Carlo draws of all that is unknown but shared
(`contacts_heights`, `contacts_minutes`), add up over the rule's window (`contacts_window`), and
decide (`contacts_verdict`). Everything is drawn from `seed`: the same views give the same answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final
from uuid import UUID

import numpy as np

from controller.domain.contacts_episodes import common_mask, episodes
from controller.domain.contacts_heights import Body, Flags, draw_body
from controller.domain.contacts_minutes import (
    SubjectStay,
    Together,
    step_us,
    subject_stay,
    together,
)
from controller.domain.contacts_model import ContactModel
from controller.domain.contacts_paths import SmoothPath, smooth
from controller.domain.contacts_rules import ContactRule, load_rule
from controller.domain.contacts_verdict import Doubt, Tally, decide, reason
from controller.domain.contacts_window import (
    INTERVAL,
    WHOLE,
    joint_weight,
    most_minutes,
    weighted_quantiles,
)
from controller.domain.linking import Member, Person, link_people
from controller.domain.match import Calibration
from controller.domain.types import F64, CameraView, ContactAssessment, PersonTrack

__all__ = ["ContactRule", "assess_contacts", "load_rule"]

MENTION_MINUTES: Final = 0.5
"""Whoever was near for less than this, in expectation, is not mentioned."""
COUNTING_STEPS: Final = 2.0
"""By how many moments a stay's count is off (one standard deviation): it began and ended between
two of them. The interval says so; the rule takes the moments as they were counted."""
MATTERS: Final = 0.3
"""By how much a doubt must move the probability to be named as the reason."""
DEFAULT_MODEL: Final = ContactModel()


@dataclass(frozen=True, slots=True)
class _Scene:
    """What all contacts of one case have in common."""

    stays: tuple[SubjectStay, ...]
    paths: Mapping[str, tuple[SmoothPath, ...]]
    tracks: Mapping[UUID, PersonTrack]
    subject: tuple[PersonTrack, ...]
    rule: ContactRule
    model: ContactModel


def assess_contacts(
    views: Sequence[CameraView], rule: ContactRule, calibration: Calibration, *, seed: int,
    model: ContactModel = DEFAULT_MODEL,
) -> tuple[ContactAssessment, ...]:  # fmt: skip
    """Assess everyone who was near the subject, longest contact first."""
    scene = _scene(views, rule, model, np.random.default_rng([seed, 0]))
    found = []
    for number, person in enumerate(link_people(views, calibration), start=1):
        # Who else was there must not change what is drawn for this person.
        rng = np.random.default_rng([seed, 1, person.members[0].tracklet_id.int])
        assessed = _assess(f"contact-{number}", person, scene, rng)
        if assessed is not None:
            found.append(assessed)
    found.sort(key=lambda a: (-a.minutes, a.contact_id))
    return tuple(found)


def _scene(
    views: Sequence[CameraView], rule: ContactRule, model: ContactModel, rng: np.random.Generator
) -> _Scene:
    usable = [v for v in views if None not in (v.camera_height_m, v.head_height_m)]
    body = draw_body(rng, model.heads, model.draws)
    paths = {v.camera_id: _smoothed(v, subject=False) for v in usable}
    chains = [
        (view, chain)
        for view in usable
        for chain in _chains(_smoothed(view, subject=True), model.presence.max_gap_s)
    ]
    seen_s = sum((chain[-1].times_us[-1] - chain[0].times_us[0]) / 1e6 for _, chain in chains)
    step = step_us(usable, seen_s)
    return _Scene(
        stays=tuple(subject_stay(view, chain, body, step, model, rng) for view, chain in chains),
        paths=paths,
        tracks={t.tracklet_id: t for v in usable for t in v.tracks},
        subject=tuple(t for v in usable for t in v.tracks if t.is_subject),
        rule=rule,
        model=model,
    )


def _smoothed(view: CameraView, *, subject: bool) -> tuple[SmoothPath, ...]:
    paths = [smooth(track) for track in view.tracks if track.is_subject is subject]
    known = [path for path in paths if path is not None]
    return tuple(sorted(known, key=lambda p: (int(p.times_us[0]), p.tracklet_id.bytes)))


def _chains(paths: Sequence[SmoothPath], max_gap_s: float) -> list[list[SmoothPath]]:
    """Split the subject's tracklets in one camera into stays."""
    if not paths:
        return []
    ends = np.maximum.accumulate([int(path.times_us[-1]) for path in paths])
    gaps_s = [(int(b.times_us[0]) - int(end)) / 1e6 for end, (_, b) in
              zip(ends[:-1], pairwise(paths), strict=True)]  # fmt: skip
    breaks = [0, *(k + 1 for k, gap in enumerate(gaps_s) if gap > max_gap_s), len(paths)]
    return [list(paths[a:b]) for a, b in pairwise(breaks)]


def _assess(
    contact_id: str, person: Person, scene: _Scene, rng: np.random.Generator
) -> ContactAssessment | None:
    draws = scene.model.draws
    body = draw_body(rng, scene.model.heads, draws)
    holds = _draw_links((*person.members, *person.possible), rng, draws)
    meetings = _meetings(scene, holds, body, rng)
    if not meetings:
        return None
    weight = joint_weight(meetings)
    slips = _counting_minutes(meetings, rng, draws)
    members = [holds[m.tracklet_id] for m in person.members]
    tally = _tally(meetings, weight, members, scene.rule, slips)
    if tally.minutes < MENTION_MINUTES:
        return None
    own = [scene.tracks[m.tracklet_id] for m in person.members if m.tracklet_id in scene.tracks]
    stretches = episodes(meetings, weight, scene.subject, own)
    decision = decide(tally.probability, scene.rule.sure)
    return ContactAssessment(
        contact_id=contact_id,
        tracklet_ids=tuple(sorted(person.tracklet_ids, key=lambda i: i.bytes)),
        minutes=tally.minutes,
        minutes_interval=tally.interval,
        minutes_possible=tally.possible,
        distance_m_median=_median_distance(meetings, weight),
        mask_subject=common_mask([e.mask_subject for e in stretches]),
        mask_contact=common_mask([e.mask_contact for e in stretches]),
        decision=decision,
        probability=tally.probability,
        reason=reason(decision, tally, scene.rule),
        episodes=stretches,
        minutes_observed=tally.seen,
        link_probability=min(m.probability for m in person.members),
    )


def _draw_links(
    members: Sequence[Member], rng: np.random.Generator, draws: int
) -> dict[UUID, Flags]:
    """Draw each link once, and tell in which draws each tracklet is the person's."""
    links = {link.number: link.probability for m in members for link in m.links}
    held = {number: rng.random(draws) < links[number] for number in sorted(links)}
    everywhere = np.ones(draws, bool)
    return {
        m.tracklet_id: np.all([everywhere, *(held[link.number] for link in m.links)], axis=0)
        for m in members
    }


def _meetings(
    scene: _Scene, holds: Mapping[UUID, Flags], body: Body, rng: np.random.Generator
) -> list[Together]:
    found = []
    for stay in scene.stays:
        first, last = int(stay.grid_us[0]), int(stay.grid_us[-1])
        near = [
            path
            for path in scene.paths[stay.view.camera_id]
            if path.tracklet_id in holds and path.times_us[-1] >= first and path.times_us[0] <= last
        ]
        if near:
            met = together(stay, near, holds, body, scene.rule.distance_m, scene.model, rng)
            found += [met] if met is not None else []
    return found


def _tally(
    meetings: Sequence[Together], weight: F64, members: Sequence[Flags], rule: ContactRule,
    slips: F64,
) -> Tally:  # fmt: skip
    drawn, seen, possible = (
        most_minutes(meetings, kind, rule.window_h) for kind in ("drawn", "seen", "possible")
    )
    meets, seen_meets, possible_meets = (
        values >= rule.minutes - WHOLE for values in (drawn, seen, possible)
    )
    low, high = weighted_quantiles(np.maximum(drawn + slips, 0), weight, INTERVAL)
    doubt: Doubt = "heights"
    if float(weight @ possible_meets) - float(weight @ seen_meets) > MATTERS:
        doubt = "hidden"
    if _links_matter(meets, weight, members):
        doubt = "links"
    return Tally(
        minutes=float(weight @ drawn),
        interval=(low, high),
        seen=float(weight @ seen),
        possible=float(weight @ possible),
        probability=float(weight @ meets),
        doubt=doubt,
    )


def _counting_minutes(meetings: Sequence[Together], rng: np.random.Generator, draws: int) -> F64:
    steps_min = np.sqrt(sum((m.step_s / 60) ** 2 for m in meetings))
    return np.asarray(COUNTING_STEPS * steps_min * rng.standard_normal(draws))


def _links_matter(meets: Flags, weight: F64, members: Sequence[Flags]) -> bool:
    """Tell whether the answer changes with whether all the person's links hold."""
    linked = np.all(members, axis=0)
    share = float(weight @ linked)
    if not 0.01 < share < 0.99:
        return False
    with_links = float(weight @ (meets & linked)) / share
    without = float(weight @ (meets & ~linked)) / (1 - share)
    return abs(with_links - without) > MATTERS


def _median_distance(meetings: Sequence[Together], weight: F64) -> float:
    """Return the median distance while they were probably near, else while both were there."""
    probable = [weight @ m.drawn >= 0.5 for m in meetings]
    near = np.concatenate([m.distance_m[p] for m, p in zip(meetings, probable, strict=True)])
    if not len(near):
        near = np.concatenate([m.distance_m for m in meetings])
    return float(np.median(near))
