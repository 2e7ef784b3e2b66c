"""Which tracklets around the subject are the same other person, and how sure is that?

Average-link clustering on log odds, with one hard rule: two tracklets that are seen at the same
time are two people. The odds of a link are its calibrated template evidence, times the prior odds:
one in as many people as are there, more where a face appears in the place and soon after another
was lost. A link is never taken as certain: it keeps its probability, and what is counted over
several tracklets is counted in the share of draws in which their links hold.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import numpy as np
from scipy.special import expit

from controller.domain.match import Calibration
from controller.domain.types import F64, CameraView, PersonTrack

LIKELY: Final = 0.5
"""Least probability to call two groups one person."""
POSSIBLE: Final = 0.05
"""Links between this and `LIKELY` are kept as possibilities of both sides."""
MAX_POSSIBLE: Final = 3
"""How many possible further groups a person keeps: the likeliest."""
OVERLAP_US: Final = 1_500_000
MAX_TRACKS: Final = 400
"""More tracklets than this around one case are cut to the longest."""
STAY_S: Final = 900.0
"""Tracklets of one camera no further apart than this are of the same people's stay."""
TEMPLATE: Final = 192
LLR_STEPS: Final = 401
CONTINUES_S: Final = 120.0
CONTINUES_M: Final = 1.0
CONTINUES_LOG_ODDS: Final = 4.0
"""A face that is found again within a metre and two minutes of a lost one: the same person, unless
somebody took the place meanwhile."""


@dataclass(frozen=True, slots=True)
class Link:
    """A link that a person rests on, and how probable it is."""

    number: int
    probability: float


@dataclass(frozen=True, slots=True)
class Member:
    """One tracklet of a person; it is theirs if all of `links` hold (none: it is the person)."""

    tracklet_id: UUID
    links: tuple[Link, ...] = ()

    @property
    def probability(self) -> float:
        """Return how probable it is that the tracklet is this person's."""
        return float(np.prod([link.probability for link in self.links]))


@dataclass(frozen=True, slots=True)
class Person:
    """One other person: the tracklets that are likely theirs, and further possible ones."""

    members: tuple[Member, ...]
    first_us: int
    possible: tuple[Member, ...] = ()

    @property
    def tracklet_ids(self) -> frozenset[UUID]:
        """Return the ids of the likely tracklets."""
        return frozenset(member.tracklet_id for member in self.members)


@dataclass(slots=True)
class _Group:
    rows: list[int]
    links: dict[int, tuple[Link, ...]]
    lasts_us: int


def link_people(views: Sequence[CameraView], calibration: Calibration) -> tuple[Person, ...]:
    """Group the tracklets of everyone but the subject, in order of their first appearance."""
    placed = [(v.camera_id, t) for v in views for t in v.tracks if not t.is_subject]
    placed = sorted(placed, key=lambda one: (one[1].start_us - one[1].end_us, _key(one[1])))
    placed = sorted(placed[:MAX_TRACKS], key=lambda one: (one[1].start_us, _key(one[1])))
    tracks = [track for _, track in placed]
    if not tracks:
        return ()
    odds = _log_odds([camera for camera, _ in placed], tracks, calibration)
    groups, between = _cluster(tracks, odds)
    people = [
        Person(_members(tracks, group), min(tracks[i].start_us for i in group.rows),
               _possible(tracks, groups, between, k))
        for k, group in enumerate(groups)
    ]  # fmt: skip
    return tuple(sorted(people, key=lambda p: (p.first_us, p.members[0].tracklet_id.bytes)))


def _key(track: PersonTrack) -> bytes:
    return track.tracklet_id.bytes


def _cluster(tracks: Sequence[PersonTrack], odds: F64) -> tuple[list[_Group], F64]:
    """Merge the likeliest pair until none is likely; mean log odds by the average-link rule."""
    groups = [_Group([i], {i: ()}, t.end_us - t.start_us) for i, t in enumerate(tracks)]
    alive, mean = list(range(len(groups))), odds.copy()
    while len(alive) > 1:
        left, right = np.unravel_index(int(np.argmax(mean)), mean.shape)
        probability = float(expit(mean[left, right]))
        if probability < LIKELY:
            break
        into, out = sorted((int(left), int(right)), key=lambda k: -groups[k].lasts_us)
        sizes = len(groups[into].rows), len(groups[out].rows)
        _merge(groups[into], groups[out], Link(len(tracks) * into + out, probability))
        row = (sizes[0] * mean[into] + sizes[1] * mean[out]) / sum(sizes)
        mean[into], mean[:, into] = row, row
        mean[into, into] = -np.inf
        mean[out], mean[:, out] = -np.inf, -np.inf
        alive.remove(out)
    return [groups[k] for k in alive], mean[np.ix_(alive, alive)]


def _merge(into: _Group, other: _Group, link: Link) -> None:
    into.links |= {row: (*links, link) for row, links in other.links.items()}
    into.rows += other.rows
    into.lasts_us += other.lasts_us


def _members(
    tracks: Sequence[PersonTrack], group: _Group, further: tuple[Link, ...] = ()
) -> tuple[Member, ...]:
    rows = sorted(group.rows, key=lambda i: (tracks[i].start_us, _key(tracks[i])))
    return tuple(Member(tracks[i].tracklet_id, group.links[i] + further) for i in rows)


def _possible(
    tracks: Sequence[PersonTrack], groups: Sequence[_Group], between: F64, k: int
) -> tuple[Member, ...]:
    """Return the members of the likeliest groups that may be this person too."""
    likely = [(float(expit(between[k, j])), j) for j in range(len(groups)) if j != k]
    chosen = sorted((p, j) for p, j in likely if p >= POSSIBLE)[::-1][:MAX_POSSIBLE]
    return tuple(
        member
        for p, j in chosen
        for member in _members(tracks, groups[j], (Link(-(len(tracks) * k + j) - 1, p),))
    )


def _log_odds(
    cameras: Sequence[str], tracks: Sequence[PersonTrack], calibration: Calibration
) -> F64:
    """Return (n, n) log odds that two tracklets are one person; minus infinity if seen at once."""
    start = np.array([track.start_us for track in tracks], np.int64)
    end = np.array([track.end_us for track in tracks], np.int64)
    together = np.minimum(end[:, None], end) - np.maximum(start[:, None], start)
    gap_s = -together / 1e6
    names = np.array(cameras)
    same = names[:, None] == names[None, :]
    crowds = {camera: _crowd(start[names == camera], end[names == camera]) for camera in set(names)}
    # One of those who were there then, or one of all who were seen anywhere, or somebody new.
    here = np.array([crowds[camera] for camera in names])[:, None] + np.zeros(len(tracks))
    others = np.where(same & (gap_s <= STAY_S), here, float(sum(crowds.values()))) + 1
    odds = _evidence(tracks, calibration) - np.log(others)
    odds += CONTINUES_LOG_ODDS * _continues(same, tracks, gap_s)
    odds[(together > OVERLAP_US) | np.eye(len(tracks), dtype=bool)] = -np.inf
    return np.asarray(odds)


def _crowd(start: np.ndarray, end: np.ndarray) -> int:
    """Return how many people a camera saw at one moment, at the most."""
    return max(int(((start <= moment) & (end >= moment)).sum()) for moment in start)


def _evidence(tracks: Sequence[PersonTrack], calibration: Calibration) -> F64:
    """Return (n, n) llr of the templates' cosines; 0, no evidence, where one has no template."""
    empty = np.zeros(TEMPLATE, np.float32)
    templates = np.array([empty if t.template is None else t.template for t in tracks])
    cosines = (templates.reshape(len(tracks), -1) @ templates.reshape(len(tracks), -1).T).clip(
        -1, 1
    )
    known = np.array([track.template is not None for track in tracks])
    masked = np.array([_main_mask(track) == "masked" for track in tracks])
    steps = np.linspace(-1, 1, LLR_STEPS)
    odds = np.zeros(cosines.shape)
    for count in (0, 1, 2):
        states = ["masked" if k < count else "unmasked" for k in (0, 1)]
        table = [calibration.llr(float(step), states[0], states[1]) for step in steps]
        chosen = masked[:, None].astype(int) + masked[None, :] == count
        odds[chosen] = np.interp(cosines[chosen], steps, table)
    return np.where(known[:, None] & known[None, :], odds, 0.0)


def _continues(same: np.ndarray, tracks: Sequence[PersonTrack], gap_s: F64) -> F64:
    """Return (n, n) 1.0 where one tracklet begins where and soon after the other ended."""
    near = same & (gap_s <= CONTINUES_S)
    out = np.zeros(near.shape)
    for i, j in np.argwhere(np.triu(near, 1)):
        first, then = sorted((tracks[i], tracks[j]), key=lambda t: t.start_us)
        if len(first.times_us) and len(then.times_us):
            moved = float(np.linalg.norm(then.places_m[0] - first.places_m[-1]))
            out[i, j] = out[j, i] = float(moved <= CONTINUES_M)
    return out


def _main_mask(track: PersonTrack) -> str:
    """Return the state that held longest."""
    if not track.masks:
        return "unsure"
    ends = [m.at_us for m in track.masks[1:]] + [track.end_us]
    spans: dict[str, int] = {}
    for moment, end in zip(track.masks, ends, strict=True):
        spans[moment.state] = spans.get(moment.state, 0) + max(end - moment.at_us, 1)
    return max(sorted(spans), key=lambda state: spans[state])
