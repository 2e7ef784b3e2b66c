"""What boxes hold of the synthetic city: seeds, misses, masks, clocks, outages, streams."""

from dataclasses import replace

import numpy as np
import pytest

from sim.city.city import City
from sim.city.facts import DishonestCity, check, facts
from sim.city.making import Making
from sim.city.tracklets import detectable
from sim.city.truth import Truth
from sim.city.types import DAY_US, START_US, Chunk, CityPlan

PLAN = CityPlan(5, 120, 1_500, days=2, cases=4)


@pytest.fixture(scope="module")
def city() -> City:
    return City(PLAN)


@pytest.fixture(scope="module")
def whole(city: City) -> Chunk:
    return city.gathered(city.probes())


def test_the_same_plan_makes_the_same_city() -> None:
    small = replace(PLAN, people=300)
    one, again, other = (City(plan) for plan in (small, small, replace(small, seed=6)))
    first, same, different = (city.gathered(city.probes()) for city in (one, again, other))

    assert np.array_equal(first.rows.sighting, same.rows.sighting)
    assert np.array_equal(first.rows.start_us, same.rows.start_us)
    assert np.array_equal(first.cosines, same.cosines)
    assert not np.isin(first.rows.sighting, different.rows.sighting).any()


def test_sightings_are_in_order_and_named_once(whole: Chunk) -> None:
    rows = whole.rows
    assert (np.diff(rows.start_us) >= 0).all()
    assert len(np.unique(rows.sighting)) == len(rows) == whole.count == whole.seen_by_day.sum()
    assert (rows.end_us > rows.start_us).all()
    assert rows.start_us.min() > START_US - DAY_US
    assert ((rows.quality > 0) & (rows.quality < 1)).all()
    assert (rows.face_px >= 28).all()


def test_what_is_kept_of_a_stream_are_the_best(city: City, whole: Chunk) -> None:
    kept = city.gathered(city.probes(), least=0.4)
    best = whole.cosines.max(axis=1) >= 0.4

    assert kept.count == whole.count
    assert np.array_equal(kept.rows.sighting, whole.rows.sighting[best])
    assert np.array_equal(kept.sample, whole.sample)


def test_parts_of_a_stream_are_small(city: City, whole: Chunk) -> None:
    largest = max(len(part.rows) for part in city.stream(city.probes()))
    assert largest < 0.5 * len(whole.rows)


def test_templates_are_those_that_were_compared(city: City, whole: Chunk) -> None:
    chosen = np.array([5, 100, 2000, 77])
    templates = city.templates(whole.rows.sighting[chosen])
    probes = city.probes()

    assert np.allclose(np.linalg.norm(templates, axis=1), 1, atol=1e-5)
    assert np.allclose(templates @ probes.embedding.T, whole.cosines[chosen], atol=1e-5)
    assert np.isnan(city.templates(np.array([12345], np.uint64))).all()


def test_the_subject_resembles_the_photos_more_than_strangers_do(whole: Chunk) -> None:
    cases = Truth(PLAN).cases_of(whole.rows.sighting)
    for case in range(PLAN.cases):
        own = whole.cosines[cases == case][:, 2 * case : 2 * case + 2].max(axis=1)
        others = whole.cosines[cases != case][:, 2 * case : 2 * case + 2].max(axis=1)
        assert len(own) >= 6
        assert np.median(own) > 0.55 > np.quantile(others, 0.999)


def test_look_alikes_are_the_same_people_again(city: City, whole: Chunk) -> None:
    people = Truth(PLAN).people_of(whole.rows.sighting)
    assert (people >= 0).all()
    best = whole.cosines[:, 0]
    alike = (best > np.quantile(best, 0.998)) & (Truth(PLAN).cases_of(whole.rows.sighting) != 0)
    # As many strangers at random would nearly all be different people.
    of_people = len(np.unique(people[alike])) / alike.sum()
    assert alike.sum() > 50
    assert of_people < 0.8


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.5])
def test_so_many_passages_are_missed(rate: float) -> None:
    making = Making(replace(PLAN, miss_rate=rate))
    unit = making.unit(0, 0)
    seen = detectable(making.cameras, unit.passages).sum()
    assert 1 - len(np.unique(unit.recorded.passage)) / seen == pytest.approx(rate, abs=0.04)


@pytest.mark.parametrize(("rate", "least", "most"), [(0.0, 0.0, 0.03), (0.6, 0.52, 0.68),
                                                     (1.0, 0.97, 1.0)])  # fmt: skip
def test_so_many_are_masked(rate: float, least: float, most: float) -> None:
    making = Making(replace(PLAN, mask_rate=rate))
    masked = np.concatenate(
        [making.unit(block, 0).recorded.sightings.masked for block in range(making.blocks)]
    )
    assert least <= masked.mean() <= most


def test_clocks_are_wrong_by_as_much_as_boxes_claim() -> None:
    making = Making(replace(PLAN, clock_error_s=2.0))
    recorded = making.unit(0, 0).recorded
    off = (recorded.sightings.start_us - START_US) / 1e6 - recorded.start_s
    z = off / recorded.sightings.time_uncertainty_s

    assert 0.6 < z.std() < 1.7
    exact = Making(replace(PLAN, clock_error_s=0.0)).unit(0, 0).recorded
    assert np.allclose((exact.sightings.start_us - START_US) / 1e6, exact.start_s, atol=1e-5)


def test_one_clock_may_be_an_hour_off() -> None:
    making = Making(replace(PLAN, hour_off=True))
    late = np.flatnonzero(making.cameras.clock_s > 3000)
    assert len(late) == 1
    assert making.cameras.claim_s[late[0]] < 10


def test_a_camera_that_is_down_sees_nothing(city: City, whole: Chunk) -> None:
    down, rows = city.down, whole.rows
    slack_us = 20_000_000
    for camera, start, end in zip(down.camera, down.start_us, down.end_us, strict=True):
        if end - start > 10 * slack_us:
            mine = rows.camera == camera
            inside = (rows.start_us > start + slack_us) & (rows.end_us < end - slack_us)
            assert not (mine & inside).any()


def test_a_path_lies_before_its_camera_with_honest_noise(city: City, whole: Chunk) -> None:
    rows = np.arange(0, len(whole.rows), len(whole.rows) // 40)
    paths = city.paths(whole.rows.sighting[rows])

    for row, path in zip(rows, paths, strict=True):
        assert path is not None
        camera = whole.rows.camera[row]
        assert np.hypot(*path.places_m.T).max() < 3 * city.sites.far_m[camera]
        assert (path.noise_sd_m > 0).all()
        assert path.times_us[0] >= whole.rows.start_us[row] - 1
        assert path.times_us[-1] <= whole.rows.end_us[row] + 1


def test_a_city_with_the_real_models_figures_passes_its_own_check() -> None:
    found = facts(PLAN)
    check(found, PLAN)
    assert found["sightings_per_person_day"] > 8
    with pytest.raises(DishonestCity, match="masked_share"):
        check(found, replace(PLAN, mask_rate=0.2))


def test_a_city_whose_strangers_are_too_easy_fails_its_check() -> None:
    found = facts(PLAN)
    easy = {"pairs": 10**7, "quantiles": [0.2, 0.3, 0.4]}
    with pytest.raises(DishonestCity, match="impostors masked-masked"):
        check(found | {"impostors": {"masked-masked": easy}}, PLAN)


def test_what_the_subject_said_is_near_the_truth(city: City) -> None:
    said = city.said()
    assert len(said.case) > 0
    assert (said.end_us > said.start_us).all()
    assert (said.case < PLAN.cases).all()
