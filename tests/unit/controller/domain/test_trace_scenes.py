"""The edge cases of a trace, as small scenes made by hand."""

from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from controller.domain.presence import Outages, blindness
from controller.domain.trace import TraceSettings, trace, trace_table
from controller.domain.trace_explain import as_trace, explained
from controller.domain.trace_nodes import Anchor, TraceError, Verdicts, table_of
from controller.domain.trace_states import ACCEPTED
from controller.domain.traffic import Traffic
from controller.domain.travel import TravelGraph, graph_of_sites
from controller.domain.types import CameraSite, Candidate, Trace

STREET = {f"c{k:02d}": CameraSite(f"c{k:02d}", f"box-{k:02d}", 100.0 * k, 0.0) for k in range(30)}
GRAPH = graph_of_sites(STREET)
SETTINGS = TraceSettings(sightings_searched=60_000, sightings_expected=20.0)
STEP_S = 75.0
HOUR_S, DAY_S = 3600.0, 86_400.0


def face(
    camera: int, at_s: float, llr: float = 12.0, *, mask: str = "unmasked", sigma_s: float = 1.0,
    lasts_s: float = 10.0,
) -> Candidate:  # fmt: skip
    start_us = round((at_s + 10 * DAY_S) * 1e6)
    number = (camera << 80) + (round((llr + 50) * 1000) << 64) + start_us
    return Candidate(
        UUID(int=number), f"c{camera:02d}", start_us, start_us + round(lasts_s * 1e6), sigma_s,
        0.5, llr, mask, 0.7,
    )  # fmt: skip


def walk(first: int, count: int, at_s: float, llr: float = 12.0, **more: str) -> list[Candidate]:
    """Somebody goes along the street, past one camera after another."""
    return [face(first + k, at_s + STEP_S * k, llr, **more) for k in range(count)]


def ids(found: Trace) -> set[UUID]:
    return {one for visit in found.visits for one in visit.sighting_ids}


def of(candidates: list[Candidate]) -> set[UUID]:
    return {one.sighting_id for one in candidates}


def test_two_people_never_apart_are_told_by_their_faces() -> None:
    subject = walk(0, 8, 0.0, 11.0)
    twin = [face(k, STEP_S * k + 1.5, 4.0) for k in range(8)]
    assert ids(trace([*subject, *twin], STREET, SETTINGS)) == of(subject)


def test_an_absent_subject_is_not_found_among_look_alikes_who_walk_feasibly() -> None:
    strangers = walk(2, 8, 0.0, 4.5) + walk(20, 8, 2 * HOUR_S, 4.0)
    assert trace(strangers, STREET, SETTINGS).visits == ()


def test_one_look_alikes_many_sightings_are_not_many_pieces_of_evidence() -> None:
    subject = walk(0, 5, 0.0, 14.0)
    look_alike = walk(12, 12, 5 * HOUR_S, 4.5)
    found = trace([*subject, *look_alike], STREET, SETTINGS)
    assert ids(found) == of(subject)


def test_a_bus_ride_is_feasible_and_faster_is_not() -> None:
    ride = [face(0, 0.0, 13.0), face(10, 130.0, 13.0), face(20, 260.0, 13.0)]
    assert ids(trace(ride, STREET, SETTINGS)) == of(ride)
    flight = [face(0, 0.0, 14.0), face(25, 60.0, 12.0)]
    assert len(ids(trace(flight, STREET, SETTINGS))) <= 1


def test_midnight_and_the_hour_that_comes_twice_change_nothing() -> None:
    midnight = walk(3, 6, 10 * DAY_S - 3 * STEP_S)
    assert ids(trace(midnight, STREET, SETTINGS)) == of(midnight)
    # Clocks on the wall go from 02:59 back to 02:00 between the second sighting and the third.
    berlin = ZoneInfo("Europe/Berlin")
    left_s = datetime(2026, 10, 25, 2, 58, tzinfo=berlin).timestamp() - 10 * DAY_S
    autumn = walk(3, 6, left_s)
    wall = [datetime.fromtimestamp(c.start_us / 1e6, berlin).strftime("%H:%M") for c in autumn]
    assert wall[:3] == ["02:58", "02:59", "02:00"]
    found = trace(autumn, STREET, SETTINGS)
    assert [visit.camera_id for visit in found.visits] == [c.camera_id for c in autumn]


def test_an_agent_whose_clock_is_an_hour_off_spoils_only_its_own_sighting() -> None:
    good = walk(0, 4, 0.0) + walk(5, 4, 5 * STEP_S)
    wrong = face(4, 4 * STEP_S + HOUR_S, 9.0)
    found = trace([*good, wrong], STREET, SETTINGS)
    assert of(good) <= ids(found)
    admitted = face(4, 4 * STEP_S + HOUR_S, 9.0, sigma_s=HOUR_S)
    with_doubt = trace([*good, admitted], STREET, SETTINGS)
    assert of(good) <= ids(with_doubt)


def test_a_masked_subject_among_masked_strangers_needs_the_neighbours() -> None:
    hidden, after = face(3, 3 * STEP_S, 10.0, mask="masked"), face(4, 4 * STEP_S, 13.0)
    subject = [*walk(0, 3, 0.0, 13.0), hidden, after]
    strangers = [face(5 + 3 * k, 900.0 * k + 5000.0, 5.0, mask="masked") for k in range(8)]
    assert ids(trace([*subject, *strangers], STREET, SETTINGS)) == of(subject)


def test_three_hundred_sightings_of_one_camera_are_one_stay() -> None:
    stay = [face(7, 40.0 * k, 9.0 + k % 3, lasts_s=20.0) for k in range(300)]
    found = trace(stay, STREET, SETTINGS)
    assert len(ids(found)) == 300
    assert {visit.camera_id for visit in found.visits} == {"c07"}


def test_a_camera_that_was_down_is_said_and_never_counted_as_absence() -> None:
    seen = [face(2, 0.0), face(3, STEP_S), face(8, 6 * STEP_S)]
    table = table_of(seen)
    off = Outages.of(
        [(k, int(10 * DAY_S * 1e6), int((10 * DAY_S + 900) * 1e6)) for k in (4, 5, 6, 7)]
    )
    up = trace_table(table, GRAPH, SETTINGS)
    down = trace_table(table, GRAPH, SETTINGS, outages=off)
    assert down.posterior[2] >= up.posterior[2]
    spells = blindness(as_trace(down, table, 45.0).visits, GRAPH, off)
    assert [spell.camera_id for spell in spells][:4] == ["c04", "c05", "c06", "c07"]
    assert "down" in spells[0].sentence


def test_what_the_person_said_lifts_a_weak_sighting_beside_it() -> None:
    weak = [face(9, 600.0, 6.5), face(10, 600.0 + STEP_S, 6.5)]
    said = Anchor("home", 900.0, 0.0, 40.0, start_us=round((10 * DAY_S + 300) * 1e6),
                  end_us=round((10 * DAY_S + 560) * 1e6), time_uncertainty_s=60.0)  # fmt: skip
    table = table_of(weak)
    alone = trace_table(table, GRAPH, SETTINGS).posterior
    told = trace_table(table, GRAPH, SETTINGS, anchors=[said]).posterior
    assert (told > alone + 0.2).all()


def test_an_anchor_that_cannot_be_meant_is_refused() -> None:
    with pytest.raises(TraceError, match="confidence"):
        Anchor("x", 0.0, 0.0, 10.0, 0, 1, confidence=1.0)
    with pytest.raises(TraceError, match="end_us"):
        Anchor("x", 0.0, 0.0, 10.0, 5, 1)


def test_a_reviewers_yes_and_no_are_final_and_move_the_neighbours() -> None:
    firm, weak = walk(0, 4, 0.0), [face(20, 3 * HOUR_S, 3.0), face(21, 3 * HOUR_S + STEP_S, 5.5)]
    everything = [*firm, *weak]
    yes = Verdicts(confirmed=frozenset({weak[0].sighting_id}))
    no = Verdicts(rejected=frozenset({firm[1].sighting_id}))
    assert weak[0].sighting_id in ids(trace(everything, STREET, SETTINGS, verdicts=yes))
    assert firm[1].sighting_id not in ids(trace(everything, STREET, SETTINGS, verdicts=no))
    table = table_of(sorted(everything, key=lambda c: c.start_us))
    before = trace_table(table, GRAPH, SETTINGS)
    after = trace_table(table, GRAPH, SETTINGS, verdicts=yes)
    assert after.posterior[-1] > before.posterior[-1]


def test_two_cameras_that_look_at_one_place_may_both_see_a_person_at_once() -> None:
    sites = {**STREET, "c99": CameraSite("c99", "box-99", 310.0, 5.0)}
    both = [face(3, 0.0, lasts_s=60.0), face(99, 20.0, lasts_s=60.0)]
    apart = [face(3, 0.0, lasts_s=60.0), face(12, 20.0, 11.0, lasts_s=60.0)]
    assert len(ids(trace([*walk(0, 3, -225.0), *both], sites, SETTINGS))) == 5
    assert len(ids(trace([*walk(0, 3, -225.0), *apart], sites, SETTINGS))) == 4


def test_a_busy_camera_asks_for_more_than_a_quiet_one() -> None:
    stay = [face(7, 60.0 * k, 12.0) for k in range(4)]
    doubtful = face(7, 90.0, 1.0)
    table = table_of(sorted([*stay, doubtful], key=lambda c: c.start_us))
    row = [table.candidate(k).sighting_id for k in range(5)].index(doubtful.sighting_id)
    quiet, busy = (
        trace_table(table, GRAPH, SETTINGS, traffic=Traffic.even(30, hz)).posterior[row]
        for hz in (1e-4, 0.1)
    )
    assert quiet > busy + 0.3


def test_a_place_that_the_person_comes_back_to_needs_less_of_a_face() -> None:
    days = [one for day in range(4) for one in walk(5, 4, day * DAY_S, 13.0)]
    weak = [face(6, 4 * DAY_S, 8.5), face(7, 4 * DAY_S + STEP_S, 8.5)]
    elsewhere = [face(25, 4 * DAY_S, 8.5), face(26, 4 * DAY_S + STEP_S, 8.5)]
    known, new = (
        min(trace_table(table_of([*days, *two]), GRAPH, SETTINGS).posterior[-2:])
        for two in (weak, elsewhere)
    )
    assert known > new + 0.1


def test_two_cases_do_not_know_of_each_other() -> None:
    one, other = walk(0, 5, 0.0), walk(10, 5, 0.0)
    alone = trace(one, STREET, SETTINGS)
    trace(other, STREET, SETTINGS)
    assert trace(one, STREET, SETTINGS) == alone


def test_every_decision_has_one_sentence() -> None:
    table = table_of([*walk(0, 4, 0.0), face(20, 2 * HOUR_S, 2.0)])
    found = trace_table(table, GRAPH, SETTINGS)
    sentences = [explained(found, table, row) for row in range(len(table))]
    assert all(s.endswith(".") and s.count("posterior") == 1 for s in sentences)
    assert "reachable" in sentences[0]
    assert found.state[-1] != ACCEPTED


def test_a_hundred_thousand_look_alikes_leave_a_sparse_graph() -> None:
    rng = np.random.default_rng(5)
    side = {f"k{i:04d}": CameraSite(f"k{i:04d}", f"b{i:04d}", *rng.uniform(0, 4000, 2))
            for i in range(1000)}  # fmt: skip
    graph: TravelGraph = graph_of_sites(side)
    count = 100_000
    start = np.sort(rng.integers(0, round(5 * DAY_S * 1e6), count))
    score = 3.1 + rng.exponential(0.25, count)
    table = table_of([face(0, 0.0)]).rows(np.zeros(count, np.int64))
    columns = {
        "ids": np.arange(1, count + 1).astype(">u8").repeat(2).view("V16"),
        "cameras": graph.camera_ids, "camera": rng.integers(0, 1000, count).astype(np.int32),
        "start_us": start, "end_us": start + 10_000_000, "llr": 5.2 * score - 13.5,
    }  # fmt: skip
    table = type(table)(
        **{name: columns.get(name, getattr(table, name)) for name in table.__slots__}
    )
    settings = TraceSettings(sightings_searched=100_000_000, searched_s=5 * DAY_S)
    found = trace_table(table, graph, settings)
    assert len(found.accepted) <= 1
    assert len(found.path) < 2_000
