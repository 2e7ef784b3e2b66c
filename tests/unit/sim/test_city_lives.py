"""Lives of the synthetic city: nobody is in two places at once, and groups move together."""

import numpy as np
import pytest

from sim.city.making import Making, Unit
from sim.city.types import CityPlan
from sim.city.venues import STOP


@pytest.fixture(scope="module")
def making() -> Making:
    return Making(CityPlan(7, 200, 3_000, days=3, cases=3))


@pytest.fixture(scope="module")
def unit(making: Making) -> Unit:
    return making.unit(0, 0)


def test_whoever_is_made_alone_lives_the_same_life(making: Making, unit: Unit) -> None:
    some = np.array([3, 250, 251, 999])
    alone = making.unit(0, 0, making.crowd(some)).recorded
    whole = np.isin(unit.recorded.row, some)

    assert whole.sum() > 20
    assert np.array_equal(alone.sightings.sighting, unit.recorded.sightings.sighting[whole])
    assert np.array_equal(alone.sightings.start_us, unit.recorded.sightings.start_us[whole])
    assert np.array_equal(alone.sightings.masked, unit.recorded.sightings.masked[whole])


def test_nobody_is_in_two_places_at_once(unit: Unit) -> None:
    life = unit.life
    row = np.concatenate([life.walks.row[life.steps.walk], life.stays.row, life.rides.row])
    start = np.concatenate([life.steps.start_s, life.stays.arrive_s, life.rides.start_s])
    end = np.concatenate([life.steps.end_s, life.stays.leave_s, life.rides.end_s])
    order = np.lexsort((end, start, row))
    row, start, end = row[order], start[order], end[order]
    same = row[1:] == row[:-1]

    assert (end >= start).all()
    assert (start[1:] - end[:-1])[same].min() > -1e-6


def test_people_walk_as_fast_as_people_walk(making: Making, unit: Unit) -> None:
    steps = unit.life.steps
    length = making.streets.length_m[steps.start, steps.slot_out]
    speed = length / (steps.end_s - steps.start_s)

    assert 1.2 < np.median(speed) < 1.4
    assert speed.min() > 0.6
    assert speed.max() < 2.4


def test_a_walk_is_a_way_without_gaps(unit: Unit) -> None:
    steps = unit.life.steps
    order = np.lexsort((steps.start_s, steps.walk))
    onward = steps.walk[order][1:] == steps.walk[order][:-1]

    assert np.array_equal(steps.goal[order][:-1][onward], steps.start[order][1:][onward])


def test_who_eats_with_the_team_walks_there_side_by_side(unit: Unit) -> None:
    walks = unit.life.walks
    keys, count = np.unique(walks.key[walks.slot == 1], return_counts=True)
    parties = keys[count > 1]

    assert len(parties) > 20
    for key in parties[:20]:
        mine = np.flatnonzero((walks.key == key) & (walks.slot == 1))
        assert np.ptp(walks.start_s[mine]) == 0.0
        assert np.ptp(walks.speed_m_s[mine]) == 0.0
        assert len(set(walks.lane_m[mine])) == len(mine)
        tables = unit.life.stays
        seats = tables.place[(tables.key == key) & (tables.slot == 1)]
        assert len(set(seats)) == len(seats) == len(mine)


def test_some_are_out_after_midnight(making: Making) -> None:
    ends = np.concatenate([making.unit(block, 0).recorded.end_s for block in range(3)])

    assert 0 < (ends > 86_400).mean() < 0.05


def test_on_a_weekend_few_work(making: Making) -> None:
    crowd, saturday = making.crowd(np.arange(1000)), 2
    weekday = making.life(crowd, 0).stays.venue == crowd.work[making.life(crowd, 0).stays.row]
    weekend = making.life(crowd, saturday).stays
    assert (weekend.venue == crowd.work[weekend.row]).sum() < 0.3 * weekday.sum()


def test_the_bus_is_faster_than_walking_and_stops_at_its_stops() -> None:
    making = Making(CityPlan(2, 1500, 2_000, days=1, cases=1))
    life = making.unit(0, 0).life
    waits = making.venues.kind[life.stays.venue] == STOP

    assert len(life.rides.row) > 100
    assert waits.sum() == 2 * len(life.rides.row)
    assert (life.rides.end_s > life.rides.start_s).all()
    assert life.stays.leave_s[waits].max() - life.stays.arrive_s[waits].min() < 86_400 * 1.2
    assert (life.stays.leave_s - life.stays.arrive_s)[waits].max() <= 480 + 1e-6
