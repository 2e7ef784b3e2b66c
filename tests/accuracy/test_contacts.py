"""Stored floors of the contact assessment on scenes whose truth is known.

Few scenes, so the bands are as wide as their number asks for; the full figures come from
`python -m sim.scenes.report` and stand in docs/contacts.md.
"""

from functools import cache

import pytest

from controller.domain.contacts import load_rule
from sim.scenes.report import pooled
from sim.scenes.score import Judged, figures

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
SEED, SCENES = 11, 140
RULE = load_rule()


@cache
def judged() -> tuple[Judged, ...]:
    found = tuple(pooled(SEED, SCENES, RULE.name))
    print(figures(found, RULE))
    return found


def test_contacts_are_decided_rightly_outside_the_undecided_band() -> None:
    found = figures(judged(), RULE)
    assert found.true_contacts >= 15
    assert found.f1 >= 0.95


def test_ninety_percent_intervals_hold_the_truth_in_about_ninety_percent() -> None:
    # 150 intervals: two standard deviations of a share of 0.9 are 0.05.
    found = figures(judged(), RULE)
    assert found.named >= 120
    assert 0.85 <= found.coverage <= 0.95


def test_few_of_those_who_came_near_stay_undecided() -> None:
    # 50 pairs: two standard deviations of a share of 0.08 are 0.08.
    found = figures(judged(), RULE)
    assert found.near_pairs >= 40
    assert found.undecided_near <= 0.16


def test_expected_minutes_are_true_on_average_though_half_the_time_is_hidden() -> None:
    named = [one for one in judged() if one.said is not None]
    true = sum(one.truth.minutes for one in named)
    said = {
        name: sum(getattr(one.said, name) for one in named) / true
        for name in ("minutes_observed", "minutes", "minutes_possible")
    }
    print(said)
    assert said["minutes_observed"] < 0.7
    assert 0.93 <= said["minutes"] <= 1.07
    assert said["minutes_observed"] < said["minutes"] < said["minutes_possible"]


def test_hardly_a_true_contact_is_called_none() -> None:
    true = [one for one in judged() if one.truth.minutes >= RULE.minutes]
    missed = [one for one in true if one.decision == "no_contact"]
    assert len(missed) <= 0.08 * len(true)
