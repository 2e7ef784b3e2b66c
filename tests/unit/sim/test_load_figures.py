"""Demand, faults, histogram, history and verdict of the load tool."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import SimError
from sim.load.check import Verdict, gallery_count, settled_count, verdict
from sim.load.crew import shares
from sim.load.demand import PER_CAMERA_AND_DAY, CityDay, DemandSettings, share_at
from sim.load.faults import FaultSettings, Held, Luck
from sim.load.history import History
from sim.load.settings import FleetSettings, LoadSettings, from_line, to_line
from sim.load.summary import Summary, Timing
from sim.load.tally import Latencies, Report, Tally


def make_settings(tmp_path, **changes) -> LoadSettings:
    fleet = FleetSettings(tmp_path / "secret", "a2V5", tmp_path / "c.npz", "s", "v", "p", 1, 10)
    return LoadSettings(fleet, **{"total": 10, **changes})


def make_report(at_s: float = 0.0, **counts: int) -> Report:
    return Report(at_s, 10, 10, 10, 0, 0, Tally(**counts), Latencies())


def test_a_city_day_holds_two_thousand_sightings_a_camera_whatever_the_hour_and_speed() -> None:
    for hour, speed in ((0.0, 1.0), (17.5, 60.0)):
        day = CityDay(100, hour, speed)
        length_s = 86_400 / speed
        steps = np.arange(0.5, 2_000.5) * length_s / 2_000
        total = sum(day.rate_at(float(at_s)) for at_s in steps) * length_s / 2_000
        assert total == pytest.approx(100 * PER_CAMERA_AND_DAY, rel=1e-3)


def test_the_city_is_busiest_at_eight_and_eighteen() -> None:
    shares_by_hour = [share_at(hour) for hour in range(24)]
    peaks = [
        hour
        for hour in range(1, 23)
        if shares_by_hour[hour] > max(shares_by_hour[hour - 1], shares_by_hour[hour + 1])
        and shares_by_hour[hour] > 2.0
    ]
    assert peaks == [8, 18]


@given(st.floats(0, 48))
def test_the_rate_is_never_negative_and_has_no_jump(hour: float) -> None:
    assert share_at(hour) > 0
    assert abs(share_at(hour + 1e-3) - share_at(hour)) < 0.01


@pytest.mark.parametrize(
    ("demand", "why"),
    [(DemandSettings(rate=-1), "rate"), (DemandSettings(hour=25), "hour"),
     (DemandSettings(speed=0), "speed")],
)  # fmt: skip
def test_a_demand_that_cannot_be_names_its_field(demand: DemandSettings, why: str) -> None:
    with pytest.raises(SimError, match=why):
        demand.demand(1)


def test_faults_come_as_often_as_asked() -> None:
    luck = Luck(
        FaultSettings(duplicate_share=0.1, late_share=0.3, late_s=100), np.random.default_rng(3)
    )
    late = [late_s for late_s in (luck.late_s() for _ in range(5_000)) if late_s is not None]
    twice = sum(luck.duplicate_s() is not None for _ in range(5_000))
    assert len(late) == pytest.approx(1_500, rel=0.1)
    assert 50 <= min(late) <= max(late) <= 150
    assert twice == pytest.approx(500, rel=0.2)
    struck = luck.struck(100)
    assert len(struck) == len(set(struck)) == 20


def test_a_share_above_one_is_refused_by_name() -> None:
    with pytest.raises(SimError, match="late_share"):
        FaultSettings(late_share=1.5).check()


@given(st.lists(st.tuples(st.floats(0, 100), st.integers()), max_size=30), st.floats(0, 100))
def test_held_things_come_back_when_due_and_soonest_first(
    things: list[tuple[float, int]], now_s: float
) -> None:
    held: Held[tuple[float, int]] = Held(limit=20)
    kept = [one for one in things if held.hold(one[0], one)]
    assert kept == things[:20]
    due = held.take_due(now_s)
    assert [one[0] for one in due] == sorted(one[0] for one in kept if one[0] <= now_s)
    assert len(held) + len(due) == len(kept)
    assert sorted(due + held.take_due(math.inf)) == sorted(kept)


@given(st.lists(st.floats(1e-4, 5_000), min_size=1, max_size=200), st.integers(1, 100))
def test_percentiles_err_upward_by_at_most_five_percent(took_s: list[float], percent: int) -> None:
    first, second = Latencies(), Latencies()
    for place, one in enumerate(took_s):
        (first if place % 2 else second).add(one)
    first.merge(Latencies.from_json(second.to_json()))
    exact_s = sorted(took_s)[math.ceil(len(took_s) * percent / 100) - 1]
    found_s = first.percentile_s(percent)
    assert found_s is not None
    assert exact_s * 0.9999 <= found_s <= exact_s * 1.0501
    assert first.longest_s == max(took_s)


def test_the_rate_is_taken_between_two_moments_over_all_processes() -> None:
    history = History()
    for at_s, acked in ((0.0, 0), (10.0, 0), (20.0, 1_000), (30.0, 1_000)):
        history.take(0, make_report(at_s, acked=acked))
        history.take(1, make_report(at_s + 0.5, acked=2 * acked))
    assert history.acked_per_s(12.0, 18.0) == pytest.approx(300.0)
    assert history.acked_per_s(5.0, 5.0) == 0.0


def test_settings_survive_the_pipe_and_are_divided_without_a_gap(tmp_path) -> None:
    settings = make_settings(tmp_path, connect_per_s=300.0)
    assert from_line(to_line(settings)) == settings
    parts = shares(settings, 3)
    numbers = [n for p in parts for n in range(p.fleet.first, p.fleet.first + p.fleet.count)]
    assert numbers == list(range(1, 11))
    assert [part.connect_per_s for part in parts] == [100.0] * 3
    assert len(shares(settings, 64)) == 10


def test_broken_settings_name_the_field() -> None:
    with pytest.raises(SimError, match="fleet"):
        from_line(b"{}\n")


@pytest.mark.parametrize(("gained", "lost", "duplicated"), [(100, 0, 0), (97, 3, 0), (104, 0, 4)])
def test_a_verdict_counts_what_is_missing_and_what_is_too_much(
    gained: int, lost: int, duplicated: int
) -> None:
    found = Verdict(published=100, acked=100, gained=gained)
    assert (found.lost, found.duplicated) == (lost, duplicated)
    assert found.holds == (gained == 100)


class GrowingGallery:
    """An API whose count comes up to date only after some questions."""

    def __init__(self, counts: list[int]) -> None:
        self.counts = counts

    def get(self, path: str) -> dict[str, int]:
        assert path == "/v1/stats"
        return {"gallery_sightings": self.counts.pop(0) if len(self.counts) > 1 else self.counts[0]}


def test_the_gallery_is_asked_until_it_holds() -> None:
    slept: list[float] = []
    found = verdict(
        GrowingGallery([1_000, 1_050, 1_060]), 1_000, published=60, acked=60, sleep=slept.append
    )
    assert found.holds
    assert len(slept) == 2


def test_a_run_begins_only_when_the_gallery_stands_still() -> None:
    assert settled_count(GrowingGallery([5, 7, 9, 9]), sleep=lambda _: None) == 9
    with pytest.raises(SimError, match="grows before the run"):
        settled_count(GrowingGallery(list(range(100))), sleep=lambda _: None)


def test_a_loss_is_found_in_the_end() -> None:
    found = verdict(GrowingGallery([59]), 0, published=60, acked=60, sleep=lambda _: None)
    assert (found.lost, found.holds) == (1, False)


def test_an_api_without_the_figure_says_so() -> None:
    class Old:
        def get(self, path: str) -> dict[str, int]:
            return {}

    with pytest.raises(SimError, match="gallery_sightings"):
        gallery_count(Old())


@pytest.mark.parametrize(
    ("counts", "interrupted", "failed"),
    [
        ({"made": 5, "published": 5, "acked": 5}, False, False),
        ({"made": 5, "published": 5, "acked": 4}, False, True),
        ({"made": 5, "published": 4, "acked": 4}, False, True),
        ({"made": 5, "published": 5, "acked": 4}, True, False),
    ],
)
def test_a_run_fails_if_something_was_not_delivered_and_nobody_stopped_it(
    counts: dict[str, int], interrupted: bool, failed: bool
) -> None:
    timing = Timing(10.0, 1.0, 2.0, 10, 1.0, 1.0, interrupted)
    summary = Summary([make_report(**counts)], timing)
    assert summary.failed is failed
    assert summary.to_json()["acked"] == counts["acked"]


def test_a_report_survives_the_pipe() -> None:
    report = make_report(3.0, acked=4)
    report.latencies.add(0.25, 4)
    assert Report.from_json(report.to_json()) == report
