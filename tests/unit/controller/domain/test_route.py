"""Who is asked, and who never hears of the case."""

from typing import Any
from uuid import UUID

from controller.domain.presence import Outages
from controller.domain.route import AgentStates, RoutePlan, RouteSettings, plan, route
from controller.domain.route_prism import PrismSettings
from controller.domain.travel import graph_of_sites
from controller.domain.types import CameraSite, Trace, Visit

SITES = {f"cam-{k}": CameraSite(f"cam-{k}", f"box-{k}", 100.0 * k, 0.0) for k in range(-20, 40)}


def visit(camera: int, start_min: float, end_min: float) -> Visit:
    return Visit(
        f"cam-{camera}", round(start_min * 60e6), round(end_min * 60e6), (UUID(int=camera + 99),),
        0.999, 0.7, 12.0, "accepted", "",
    )  # fmt: skip


def asked(*visits: Visit, **settings: Any) -> list[str]:
    trace = Trace(visits, (), len(visits), 0)
    return [q.agent_id for q in plan(trace, SITES, RouteSettings(**settings))]


def test_agents_of_accepted_visits_are_always_asked() -> None:
    assert asked(visit(0, 0, 5), visit(9, 20, 25), max_gap_agents=0) == ["box-0", "box-9"]


def test_a_gap_asks_only_agents_inside_the_prism_and_within_the_budget() -> None:
    guesses = set(asked(visit(0, 0, 5), visit(4, 15, 20), max_gap_agents=3)[2:])
    assert len(guesses) == 3
    assert all(-3 <= int(name.removeprefix("box-")) <= 7 for name in guesses)


def test_a_direct_walk_without_time_to_spare_asks_only_on_the_way() -> None:
    between = PrismSettings(open_s=0.0)
    names = asked(visit(0, 0, 5), visit(4, 9.6, 20), max_gap_agents=20, prism=between)
    assert names[:2] == ["box-0", "box-4"]
    assert set(names[2:]) == {"box-1", "box-2", "box-3"}


def test_the_case_budget_is_never_exceeded() -> None:
    visits = [visit(k, 30 * k, 30 * k + 1) for k in range(10)]
    assert len(set(asked(*visits, max_agents=5))) == 5


def test_every_question_carries_its_reason() -> None:
    trace = Trace((visit(0, 0, 5), visit(4, 30, 40)), (), 2, 0)
    reasons = [q.reason for q in plan(trace, SITES, RouteSettings())]
    assert all("subject" in reason for reason in reasons)


GRAPH = graph_of_sites(SITES)
GAP = Trace((visit(0, 0, 5), visit(4, 15, 20)), (), 2, 0)


def planned(agents: AgentStates | None = None, **settings: Any) -> RoutePlan:
    return route(GAP, GRAPH, RouteSettings(**settings), agents=agents or AgentStates())


def names(found: RoutePlan, *, beyond: bool) -> set[str]:
    return {ask.query.agent_id for ask in found.asks if ask.beyond == beyond}


def test_by_default_at_most_as_many_others_are_asked_as_hold_the_subject() -> None:
    assert len(names(planned(max_gap_agents=None), beyond=True)) == 2


def test_agents_that_were_asked_before_count_against_the_budget() -> None:
    before = AgentStates(asked=frozenset({"box-0", "box-30"}))
    found = planned(before, max_gap_agents=2)
    assert len(names(found, beyond=True) - before.asked) == 1
    full = AgentStates(asked=frozenset({"box-30", "box-31"}))
    assert names(planned(full, max_gap_agents=2), beyond=True) == set()


def test_an_agent_that_is_away_is_asked_when_it_is_back() -> None:
    found = planned(AgentStates(offline=frozenset({"box-4"})))
    assert {a.when for a in found.asks if a.query.agent_id == "box-4"} == {"when back"}
    assert {a.when for a in found.asks if a.query.agent_id == "box-0"} == {"now"}


def test_an_agent_that_was_asked_often_waits_for_the_next_hour() -> None:
    found = planned(AgentStates(asked_last_hour={"box-0": 12}))
    assert {a.when for a in found.asks if a.query.agent_id == "box-0"} == {"next hour"}


def test_a_camera_that_was_down_all_the_time_is_not_asked() -> None:
    place = GRAPH.camera_ids.index("cam-2")
    off = Outages.of([(place, -(10**12), 10**12)])
    found = route(GAP, GRAPH, RouteSettings(max_gap_agents=20), outages=off)
    assert "box-2" in names(planned(max_gap_agents=20), beyond=True)
    assert "box-2" not in names(found, beyond=True)


def test_a_live_case_watches_the_next_hops_and_an_old_one_nobody() -> None:
    live = route(GAP, GRAPH, RouteSettings(), live_from_us=round(21 * 60e6))
    assert live.watches[0].camera_id == "cam-4"
    assert {watch.camera_id for watch in live.watches} == {f"cam-{k}" for k in range(2, 7)}
    assert 0.3 < sum(watch.probability for watch in live.watches) <= 1.0
    assert planned().watches == ()


def test_a_plan_says_in_one_sentence_whom_it_asks() -> None:
    assert planned().sentence.startswith("2 agents hold accepted sightings, 3 more may")
