"""How well contacts are decided, over pairs whose truth is known."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from controller.domain.contacts import ContactRule
from controller.domain.types import ContactAssessment, ContactDecision
from sim.scenes.generate import Scene, Truth

VISIBLE_BANDS: Final = (0.0, 0.25, 0.5, 0.75, 1.01)
WIDE_MINUTES: Final = 1.0
"""A narrower interval is one in which next to nothing is unknown."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One pair: its truth beside what was said; nobody was named where `said` is None."""

    truth: Truth
    said: ContactAssessment | None

    @property
    def decision(self) -> ContactDecision:
        """Return the answer; somebody who is not mentioned is no contact."""
        return "no_contact" if self.said is None else self.said.decision


def judge(scene: Scene, found: Sequence[ContactAssessment]) -> list[Judged]:
    """Give each true person the contact that holds most of their tracklets."""
    judged = []
    for truth in scene.truths:
        shares = [(len(truth.tracklet_ids & set(one.tracklet_ids)), one.minutes, k)
                  for k, one in enumerate(found)]  # fmt: skip
        best = max(shares, default=(0, 0.0, -1))
        judged.append(Judged(truth, found[best[2]] if best[0] else None))
    return judged


@dataclass(frozen=True, slots=True)
class Figures:
    """What must hold, over pairs that were before a camera at once.

    `f1` outside the undecided band; `coverage` of the 90 % intervals of all that are named, and of
    those wider than `WIDE_MINUTES`; shares of undecided pairs among those that came within twice
    the rule's distance for half its time, and among all; mean error of the expected minutes.
    """

    pairs: int
    true_contacts: int
    named: int
    f1: float
    coverage: float
    wide: int
    coverage_wide: float
    near_pairs: int
    undecided_near: float
    undecided_all: float
    minutes_bias: float


def figures(judged: Sequence[Judged], rule: ContactRule) -> Figures:
    """Return the figures that must hold."""
    met = [one for one in judged if one.truth.common_minutes > 0]
    near = [one for one in met if _comes_near(one.truth, rule)]
    named = [one for one in met if one.said is not None]
    wide = [one for one in named if _width(one) > WIDE_MINUTES]
    off = [one.said.minutes - one.truth.minutes for one in named if one.said is not None]
    return Figures(
        pairs=len(met),
        true_contacts=sum(one.truth.minutes >= rule.minutes for one in met),
        named=len(named),
        f1=_f1([one for one in met if one.decision != "undecided"], rule),
        coverage=_share(_covered(one) for one in named),
        wide=len(wide),
        coverage_wide=_share(_covered(one) for one in wide),
        near_pairs=len(near),
        undecided_near=_share(one.decision == "undecided" for one in near),
        undecided_all=_share(one.decision == "undecided" for one in met),
        minutes_bias=float(np.mean(off)) if off else float("nan"),
    )


def by_visible(judged: Sequence[Judged], rule: ContactRule) -> list[dict[str, float]]:
    """Return recall and minutes by the share of the time that the contact's face was visible."""
    rows = []
    for low, high in pairwise(VISIBLE_BANDS):
        true = [one for one in judged if one.truth.minutes >= rule.minutes
                and low <= one.truth.visible_share < high]  # fmt: skip
        known = [one for one in true if one.said is not None]
        rows.append({
            "visible_from": low,
            "contacts": len(true),
            "recall": _share(one.decision == "contact" for one in true),
            "recall_with_undecided": _share(one.decision != "no_contact" for one in true),
            "observed_of_true": _ratio(known, "minutes_observed"),
            "expected_of_true": _ratio(known, "minutes"),
            "possible_of_true": _ratio(known, "minutes_possible"),
        })  # fmt: skip
    return rows


def by_range(judged: Sequence[Judged], rule: ContactRule) -> list[dict[str, float]]:
    """Return how many of the near pairs are undecided, by their distance from the camera."""
    judged = [one for one in judged if _comes_near(one.truth, rule)]
    edges = (0.0, 4.0, 6.0, 8.0, 10.0, 99.0)
    rows = []
    for low, high in pairwise(edges):
        inside = [one for one in judged if low <= one.truth.range_m < high]
        rows.append({
            "range_from_m": low, "pairs": len(inside),
            "undecided": _share(one.decision == "undecided" for one in inside),
        })  # fmt: skip
    return rows


def trade_off(judged: Sequence[Judged], rule: ContactRule) -> list[dict[str, float]]:
    """Return F1 and the undecided share for other degrees of sureness."""
    rows = []
    for sure in (0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.975):
        near = [_probability(one) for one in judged if _comes_near(one.truth, rule)]
        decided = [(_probability(one) >= sure, one.truth.minutes >= rule.minutes) for one in judged
                   if not 1 - sure < _probability(one) < sure]  # fmt: skip
        rows.append({
            "sure": sure,
            "f1": f1_of(decided),
            "undecided_near": _share(1 - sure < p < sure for p in near),
        })  # fmt: skip
    return rows


def f1_of(pairs: Iterable[tuple[bool, bool]]) -> float:
    """Return F1 of (said, true) pairs; 1 where nothing was to be found and nothing was said."""
    listed = list(pairs)
    right = sum(said and true for said, true in listed)
    wrong = sum(said != true for said, true in listed)
    return 2 * right / (2 * right + wrong) if right + wrong else 1.0


def _f1(judged: Sequence[Judged], rule: ContactRule) -> float:
    return f1_of((one.decision == "contact", one.truth.minutes >= rule.minutes) for one in judged)


def _comes_near(truth: Truth, rule: ContactRule) -> bool:
    """Tell whether a pair was within twice the distance for half the rule's minutes or more."""
    return truth.near_share * truth.common_minutes >= rule.minutes / 2


def _probability(one: Judged) -> float:
    return 0.0 if one.said is None else one.said.probability


def _covered(one: Judged) -> bool:
    if one.said is None:
        return False
    low, high = one.said.minutes_interval
    return low <= one.truth.minutes <= high


def _width(one: Judged) -> float:
    return 0.0 if one.said is None else one.said.minutes_interval[1] - one.said.minutes_interval[0]


def _ratio(judged: Sequence[Judged], name: str) -> float:
    true = sum(one.truth.minutes for one in judged)
    return sum(float(getattr(one.said, name)) for one in judged) / true if true else float("nan")


def _share(values: Iterable[object]) -> float:
    listed = [bool(value) for value in values]
    return float(np.mean(listed)) if listed else float("nan")


def counts(judged: Sequence[Judged]) -> Mapping[str, int]:
    """Return how many pairs got each answer."""
    names = [one.decision for one in judged]
    return {name: names.count(name) for name in ("contact", "no_contact", "undecided")}
