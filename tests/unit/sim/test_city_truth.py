"""The synthetic city's truth: passages, misses, and who was how close to whom."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.city.city import City
from sim.city.closeness import Stretches, within
from sim.city.truth import Close, Truth
from sim.city.types import CityPlan

PLAN = CityPlan(5, 120, 1_500, days=2, cases=4)


@pytest.fixture(scope="module")
def truth() -> Truth:
    return Truth(PLAN)


def test_every_tracklet_of_a_subject_comes_from_a_detectable_passage(truth: Truth) -> None:
    city = City(PLAN)
    rows = city.gathered(city.probes()).rows
    cases = truth.cases_of(rows.sighting)
    for case in range(PLAN.cases):
        passed = truth.passed(case)
        held = passed.sighting > 0
        known = np.isin(passed.sighting[held], rows.sighting[cases == case])

        assert known.all()
        assert passed.detectable[held].all()
        assert not passed.detectable[passed.down].any()
        # Broken tracklets: a passage may have made two.
        assert held.sum() <= (cases == case).sum() <= 2 * held.sum()


def test_some_detectable_passages_left_nothing(truth: Truth) -> None:
    counts = np.array([
        [(p.detectable & (p.sighting == 0)).sum(), p.detectable.sum()]
        for p in (truth.passed(case) for case in range(PLAN.cases))
    ]).sum(axis=0)  # fmt: skip
    assert 0.05 < counts[0] / counts[1] < 0.4


def _stretch(person: int, start: float, end: float, at: tuple[float, ...]) -> Stretches:
    return Stretches(
        np.array([person]), np.array([9]), np.array([start]), np.array([end]),
        np.array([at[:2]]), np.array([at[2:]]), np.array([-1], np.int32),
    )  # fmt: skip


places = st.tuples(*[st.floats(-6, 6) for _ in range(4)])


@settings(max_examples=200, deadline=None)
@given(places, places, st.floats(0, 50), st.floats(1, 60), st.floats(0.3, 4))
def test_time_within_a_distance_is_that_of_small_steps(
    one: tuple[float, ...], other: tuple[float, ...], begins: float, lasts: float, near_m: float
) -> None:
    mine, their = _stretch(1, 0.0, 60.0, one), _stretch(2, begins, begins + lasts, other)
    _, _, start, end = within(mine, their, near_m)
    moments = np.linspace(begins, min(60.0, begins + lasts), 4001)
    here = np.array(one[:2]) + np.outer(moments / 60, np.subtract(one[2:], one[:2]))
    there = np.array(other[:2]) + np.outer((moments - begins) / lasts,
                                           np.subtract(other[2:], other[:2]))  # fmt: skip
    stepped = (np.hypot(*(here - there).T) <= near_m).mean() * np.ptp(moments)

    assert (end - start).sum() == pytest.approx(stepped, abs=0.05 + np.ptp(moments) / 500)


def test_nobody_is_close_to_himself_or_to_another_room() -> None:
    mine = _stretch(1, 0, 60, (0, 0, 0, 0))
    elsewhere = Stretches(np.array([2]), np.array([8]), *(
        getattr(mine, name) for name in Stretches.__slots__[2:]))  # fmt: skip

    assert len(within(mine, mine, 2.0)[0]) == 0
    assert len(within(mine, elsewhere, 2.0)[0]) == 0


def test_those_at_one_table_meet_for_as_long_as_they_sit(truth: Truth) -> None:
    close = truth.close(1.83)
    assert len(close.case) > 50
    assert (close.end_us > close.start_us).all()
    both = close.camera >= 0
    lasts_s = (close.end_us - close.start_us) / 1e6
    assert (close.seen_s[both] <= lasts_s[both] + 1e-3).all()
    assert (close.seen_s <= close.other_seen_s + 1e-3).all()
    met = [truth.met(close, case) for case in range(PLAN.cases)]
    assert max(one.minutes.max() for one in met) > 15
    for one in met:
        assert (one.in_view <= one.minutes + 1e-6).all()
        assert (one.most_in_day <= one.minutes + 1e-6).all()
        assert (one.both_seen <= one.in_view + 1e-3).all()


def test_minutes_count_within_any_24_hours(truth: Truth) -> None:
    hour = 3_600_000_000
    close = Close(
        np.zeros(3, np.int32), np.full(3, 7), np.array([0, 20, 30]) * hour,
        np.array([1, 21, 31]) * hour, np.array([3, -1, 3], np.int32), np.zeros(3), np.zeros(3),
    )  # fmt: skip
    met = truth.met(close, 0)

    assert met.minutes.tolist() == [180.0]
    assert met.most_in_day.tolist() == [120.0]
    assert met.most_in_view.tolist() == [60.0]
