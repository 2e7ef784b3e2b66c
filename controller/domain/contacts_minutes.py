"""Minutes within the rule's distance, in each Monte Carlo draw.

What all samples of a person share is drawn: stature, posture, calibration, presence in gaps, links.
Given these, the rest is independent from second to second and is integrated in closed form: the
probability that a two-dimensional normal separation is within the distance. Summed over a stay it
averages out, which is why only the shared part makes an interval wide.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import numpy as np
from scipy.special import ndtr

from controller.domain.contacts_company import (
    come_and_go_together,
    company_probability,
    spacing_weight,
)
from controller.domain.contacts_heights import Body, Flags, Scales, draw_seats, scales
from controller.domain.contacts_model import ContactModel
from controller.domain.contacts_paths import Moments, SmoothPath
from controller.domain.contacts_presence import SpellDraw, draw_spells, presence, wander
from controller.domain.contacts_stays import Stay, bridge_us, stay_on
from controller.domain.types import F64, CameraView

STEP_S: Final = 1.0
MAX_STEP_S: Final = 5.0
MAX_MOMENTS: Final = 8_000
"""If the subject was seen at more moments than this, they are looked at in coarser steps."""


@dataclass(frozen=True, slots=True)
class Together:
    """Two people in one stay at n common moments, `step_s` apart.

    `seen`, `drawn` and `possible` are (draws, n) shares of a step within the distance: while both
    faces were seen, with gaps as drawn, and with every gap bridged. `distance_m` (n,) is between
    the people as the camera placed them; `weight` (draws,) is how likely a draw is at all.
    """

    camera_id: str
    times_us: Moments
    step_s: float
    seen: np.ndarray
    drawn: np.ndarray
    possible: np.ndarray
    distance_m: F64
    weight: F64


@dataclass(frozen=True, slots=True)
class SubjectStay:
    """The subject's stay in a view: a grid of moments with what is drawn once for all contacts."""

    view: CameraView
    grid_us: Moments
    stay: Stay
    spells: tuple[SpellDraw, ...]
    member: np.ndarray
    factors: Scales
    seats: Flags
    common: F64

    @property
    def step_s(self) -> float:
        """Return the time between two moments of the grid."""
        return float(self.grid_us[1] - self.grid_us[0]) / 1e6


def step_us(views: Sequence[CameraView], seen_s: float) -> int:
    """Return the time between two moments: a second, more for slow cameras and long cases."""
    slowest_s = max((view.frame_interval_s for view in views), default=STEP_S)
    return round(max(STEP_S, min(slowest_s, MAX_STEP_S), seen_s / MAX_MOMENTS) * 1e6)


def subject_stay(
    view: CameraView, paths: Sequence[SmoothPath], body: Body, step: int,
    model: ContactModel, rng: np.random.Generator,
) -> SubjectStay:  # fmt: skip
    """Prepare one stay of the subject; `paths` are its tracklets there, `step` is in µs."""
    start_us = min(int(path.times_us[0]) for path in paths)
    end_us = max(int(path.times_us[-1]) for path in paths)
    before = int(model.presence.max_edge_s * 1e6 // step)
    after = before + (end_us - start_us) // step
    grid = start_us + np.arange(-before, after + 1, dtype=np.int64) * step
    stay = stay_on(grid, paths, bridge_us(view.frame_interval_s), model.presence)
    seats = draw_seats(rng, model.heads, model.draws)
    return SubjectStay(
        view=view,
        grid_us=grid,
        stay=stay,
        spells=draw_spells(stay, rng, model.draws, model.presence.leavers),
        member=np.ones((model.draws, len(paths)), bool),
        factors=scales(view, body, seats, model.heads, rng),
        seats=seats,
        common=1 + model.heads.scale_sd * rng.standard_normal(model.draws),
    )


def together(
    subject: SubjectStay, paths: Sequence[SmoothPath], member: Mapping[UUID, Flags], body: Body,
    distance_m: float, model: ContactModel, rng: np.random.Generator,
) -> Together | None:  # fmt: skip
    """Return the subject and one other person in a stay; None if they cannot have been together.

    `member` says for each tracklet in which draws (draws,) it is this person's.
    """
    view = subject.view
    stay = stay_on(subject.grid_us, paths, bridge_us(view.frame_interval_s), model.presence)
    both = np.flatnonzero(subject.stay.possible() & stay.possible())
    if not len(both):
        return None
    spells = draw_spells(stay, rng, model.draws, model.presence.leavers)
    factors = scales(view, body, subject.seats, model.heads, rng)
    mine = np.column_stack([member[path.tracklet_id] for path in paths])
    here = presence(subject.stay, subject.spells, subject.member, both, subject.step_s)
    there = presence(stay, spells, mine, both, subject.step_s)
    apart = _separation(subject, stay, factors, spells, both)
    sd = np.hypot(subject.stay.sd_m[both], stay.sd_m[both])
    sd = np.hypot(sd, model.heads.turn_sd_m * np.sqrt(2))
    near = within_probability(apart, sd[None, :], distance_m)
    company = company_probability(subject.stay, stay, subject.step_s, model.spacing)
    weight, companions = spacing_weight(np.median(apart, axis=1), company, model.spacing)
    keeps = rng.random(model.draws) < companions
    come_and_go_together(
        (subject.stay, stay), (subject.spells, spells), (here[1:], there[1:]), keeps, both,
        subject.step_s, model.spacing, rng,
    )  # fmt: skip
    seen, drawn, possible = (near * (a & b) for a, b in zip(here, there, strict=True))
    plain = np.linalg.norm(subject.stay.places_m[both] - stay.places_m[both], axis=1)
    return Together(
        view.camera_id, subject.grid_us[both], subject.step_s, seen, drawn, possible, plain,
        weight,
    )  # fmt: skip


def within_probability(apart_m: np.ndarray, sd_m: np.ndarray, distance_m: float) -> np.ndarray:
    """Return P(|s| <= distance) for s normal around a separation of length `apart_m`.

    `sd_m` is the standard deviation of each axis. The length is taken as normal around
    sqrt(apart^2 + sd^2), which is within 0.02 of the exact non-central chi-square while
    sd <= distance / 5.
    """
    centre = np.sqrt(np.square(apart_m) + np.square(sd_m))
    return np.asarray(ndtr((distance_m - centre) / sd_m), np.float32)


def _separation(
    subject: SubjectStay, stay: Stay, factors: Scales, spells: Sequence[SpellDraw],
    both: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Return (draws, n) metres between the two in each draw."""
    squares = np.zeros((len(factors.walking), len(both)), np.float32)
    for axis in (0, 1):
        mine = _moved(subject.stay, subject.factors, both, axis)
        mine += wander(subject.stay, subject.spells, both, axis)
        theirs = _moved(stay, factors, both, axis)
        theirs += wander(stay, spells, both, axis)
        squares += np.square(mine - theirs)
    return np.asarray(np.sqrt(squares) * subject.common[:, None].astype(np.float32))


def _moved(stay: Stay, factors: Scales, both: np.ndarray, axis: int) -> np.ndarray:
    factor = np.where(
        stay.moving[both][None, :], factors.walking[:, None], factors.staying[:, None]
    )
    return np.asarray(factor * stay.places_m[both, axis][None, :], np.float32)
