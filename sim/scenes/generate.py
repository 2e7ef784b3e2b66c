"""Seeded scenes: a subject and others before one to three cameras, with the true minutes.

Companions come and go together; neighbours and strangers for themselves. Companions keep the
distance that people keep; those of the others are drawn around the rule's, and times from seconds
to 40 minutes, so that many pairs are close to both limits.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from controller.domain.types import CameraView, PersonTrack
from sim.scenes.camera import HEAD_PLANE_M, HEAD_SD_M, PoleCamera, draw_camera
from sim.scenes.motion import STEP_S, WALK_M, Life, Plan, draw_away, live
from sim.scenes.people import Someone, draw_someone
from sim.scenes.seeing import draw_visibility, tracklets, visible

F64 = NDArray[np.float64]
Kind = Literal["companion", "neighbour", "stranger"]

START_US: Final = 1_767_225_600_000_000
CAMERA_EVERY_US: Final = 3_600_000_000
KINDS: Final[tuple[Kind, ...]] = ("companion", "neighbour", "stranger")
KIND_SHARES: Final = (0.45, 0.3, 0.25)
CAMERAS: Final = (1, 2, 3)
CAMERA_SHARES: Final = (0.75, 0.17, 0.08)
SHORTEST_S, LONGEST_S = 8.0, 2400.0
COMPANY_M: Final = 0.915
LEAST_APART_M: Final = 0.4
MARGIN_M: Final = 0.4
TRIES: Final = 60
FRAME_INTERVAL_S: Final = 0.4


@dataclass(frozen=True, slots=True)
class Truth:
    """One other person of a scene: their tracklets and what truly happened.

    `minutes` within the rule's distance before any camera of the scene, `near_share` of their
    common time within twice the distance, `visible_share` of it with the contact's face seen.
    """

    kind: Kind
    tracklet_ids: frozenset[UUID]
    minutes: float
    common_minutes: float
    near_share: float
    visible_share: float
    range_m: float


@dataclass(frozen=True, slots=True)
class Scene:
    """What the cameras saw, and the truth of each other person."""

    number: int
    views: tuple[CameraView, ...]
    truths: tuple[Truth, ...]


@dataclass(slots=True)
class _Person:
    """Somebody over all cameras of a scene, with sums of the truth."""

    who: Someone
    kind: Kind
    ids: set[UUID]
    near_s: float = 0.0
    twice_s: float = 0.0
    common_s: float = 0.0
    seen_s: float = 0.0
    range_sum: float = 0.0


def scenes(
    seed: int, count: int, *, distance_m: float, height_m: float | None = None
) -> Iterator[Scene]:
    """Yield `count` scenes; a scene depends on the seed and its own number only."""
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        yield _scene(number, rng, distance_m, height_m)


def _scene(
    number: int, rng: np.random.Generator, distance_m: float, height_m: float | None
) -> Scene:
    subject = draw_someone(rng)
    others = [
        _Person(draw_someone(rng), KINDS[int(rng.choice(3, p=KIND_SHARES))], set())
        for _ in range(int(rng.integers(1, 4)))
    ]
    views = []
    for k in range(int(rng.choice(CAMERAS, p=CAMERA_SHARES))):
        camera = draw_camera(rng, height_m=height_m)
        tracks = _act(camera, subject, others, START_US + k * CAMERA_EVERY_US, distance_m, rng)
        views.append(
            CameraView(f"cam-{k}", camera.height_m, HEAD_PLANE_M, HEAD_SD_M, FRAME_INTERVAL_S,
                       tuple(tracks))
        )  # fmt: skip
    return Scene(number, tuple(views), tuple(_truth(person) for person in others))


def _truth(person: _Person) -> Truth:
    common = max(person.common_s, 1e-9)
    return Truth(
        kind=person.kind,
        tracklet_ids=frozenset(person.ids),
        minutes=person.near_s / 60,
        common_minutes=person.common_s / 60,
        near_share=person.twice_s / common,
        visible_share=person.seen_s / common,
        range_m=person.range_sum / common,
    )


def _act(
    camera: PoleCamera, subject: Someone, others: list[_Person], start_us: int, distance_m: float,
    rng: np.random.Generator,
) -> list[PersonTrack]:  # fmt: skip
    """Let everybody live before one camera; add to the truth and return the tracklets."""
    place, seats = _place(camera, rng), bool(rng.random() < 0.4)
    lasts_s = _dwell_s(rng)
    margin_s = 60.0
    plan = _plan(place, margin_s, margin_s + lasts_s, seats, rng)
    ends_s = margin_s * 2 + lasts_s
    mine = live(plan, subject.standing_m, subject.drop_m, ends_s, rng)
    shown = visible(mine.times_s, draw_visibility(rng), rng)
    tracks = tracklets(mine, camera, subject, shown, start_us, is_subject=True, rng=rng)
    for other in others:
        theirs = live(
            _other_plan(camera, plan, other.kind, seats, distance_m, rng),
            other.who.standing_m, other.who.drop_m, ends_s, rng,
        )  # fmt: skip
        shown = visible(theirs.times_s, draw_visibility(rng), rng)
        found = tracklets(theirs, camera, other.who, shown, start_us, is_subject=False, rng=rng)
        other.ids |= {track.tracklet_id for track in found}
        tracks += found
        _note(other, camera, mine, theirs, shown, distance_m)
    return tracks


def _note(
    other: _Person, camera: PoleCamera, mine: Life, theirs: Life, shown: NDArray[np.bool_],
    distance_m: float,
) -> None:  # fmt: skip
    apart = np.linalg.norm(mine.heads_m[:, :2] - theirs.heads_m[:, :2], axis=1)
    both = mine.there & theirs.there
    both &= camera.in_view(mine.heads_m[:, :2]) & camera.in_view(theirs.heads_m[:, :2])
    other.near_s += float((both & (apart <= distance_m)).sum() * STEP_S)
    other.twice_s += float((both & (apart <= 2 * distance_m)).sum() * STEP_S)
    other.common_s += float(both.sum() * STEP_S)
    other.seen_s += float((both & shown).sum() * STEP_S)
    other.range_sum += float(np.hypot(*mine.heads_m[both, :2].T).sum() * STEP_S)


def _dwell_s(rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(np.log(SHORTEST_S), np.log(LONGEST_S))))


def _place(camera: PoleCamera, rng: np.random.Generator) -> tuple[float, float]:
    """Draw a place evenly over the ground that the camera can use."""
    for _ in range(TRIES):
        x, y = rng.uniform(-camera.reach_m, camera.reach_m), rng.uniform(0, camera.reach_m)
        if _well_inside(camera, x, y):
            return float(x), float(y)
    return 0.0, (2.0 + camera.reach_m) / 2


def _well_inside(camera: PoleCamera, x: float, y: float) -> bool:
    """Tell whether somebody who sways about a place stays in the picture."""
    around = np.array(
        [[x + dx, y + dy] for dx in (-MARGIN_M, MARGIN_M) for dy in (-MARGIN_M, MARGIN_M)]
    )
    return bool(camera.in_view(around).all())


def _plan(
    place: tuple[float, float], arrives_s: float, leaves_s: float, seats: bool,
    rng: np.random.Generator,
) -> Plan:  # fmt: skip
    ways = rng.uniform(0, 2 * np.pi, 2)
    ends = [(place[0] + WALK_M * float(np.cos(w)), place[1] + WALK_M * float(np.sin(w)))
            for w in ways]  # fmt: skip
    return Plan(
        place, arrives_s, leaves_s, bool(seats and rng.random() < 0.9), ends[0], ends[1],
        float(np.clip(rng.normal(1.25, 0.2), 0.7, 1.9)),
    )  # fmt: skip


def _other_plan(
    camera: PoleCamera, subject: Plan, kind: Kind, seats: bool, distance_m: float,
    rng: np.random.Generator,
) -> Plan:  # fmt: skip
    place = _near(camera, subject.place_m, kind, distance_m, rng)
    if kind == "companion":
        jitter = rng.uniform(-3, 3, 2)
        arrives, leaves = subject.arrives_s + jitter[0], subject.leaves_s + jitter[1]
    else:
        middle = rng.uniform(subject.arrives_s, subject.leaves_s)
        half = _dwell_s(rng) / 2
        arrives, leaves = max(5.0, middle - half), min(subject.leaves_s + 50, middle + half)
    leaves = max(leaves, arrives + 4)
    plan = _plan(place, float(arrives), float(leaves), seats, rng)
    away = draw_away(plan.arrives_s, plan.leaves_s, rng)
    return Plan(
        plan.place_m, plan.arrives_s, plan.leaves_s, plan.seated, plan.comes_from_m,
        plan.goes_to_m, plan.speed_m_s, away,
    )  # fmt: skip


def _near(
    camera: PoleCamera, place: tuple[float, float], kind: Kind, distance_m: float,
    rng: np.random.Generator,
) -> tuple[float, float]:  # fmt: skip
    """Draw where the other stays; whoever would be out of view is drawn again."""
    for _ in range(TRIES):
        apart = {
            "companion": float(rng.lognormal(np.log(COMPANY_M), 0.3)),
            "neighbour": float(rng.uniform(0.5, 2.0)) * distance_m,
            "stranger": float(rng.uniform(1.0, 4.0)) * distance_m,
        }[kind]
        way = rng.uniform(0, 2 * np.pi)
        apart = max(apart, LEAST_APART_M)
        x, y = place[0] + apart * np.cos(way), place[1] + apart * np.sin(way)
        if _well_inside(camera, x, y):
            return float(x), float(y)
    return place[0] + LEAST_APART_M, place[1]
