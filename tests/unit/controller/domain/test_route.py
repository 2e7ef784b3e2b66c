"""Who is asked, and who never hears of the case."""

from typing import Any
from uuid import UUID

from controller.domain.route import RouteSettings, plan
from controller.domain.route_prism import PrismSettings
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
