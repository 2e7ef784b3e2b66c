"""One case through the whole chain in process: match, trace, route, ask, trace again."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from controller.domain.candidates import CandidateTable
from controller.domain.route import AgentStates, RoutePlan, RouteSettings, route
from controller.domain.trace import TraceSettings, trace_table
from controller.domain.trace_explain import as_trace
from controller.domain.trace_states import TableTrace
from controller.domain.travel import TravelGraph
from controller.domain.travel_speeds import Speeds, learned_speeds
from sim.evaluate.matching import Search, table_of_rows
from sim.evaluate.settings import EvaluateSettings
from sim.evaluate.world import World

I64 = NDArray[np.int64]
EXPECTED_PER_DAY: Final = 20.0
"""Sightings of one person in a day that a search expects: the prior, not a result."""
MAX_AGENTS: Final = 400
LARGE_CITY: Final = 2_000
"""From so many cameras on a case's agents are a share of all, not as many as hold the subject."""
LARGE_CITY_SHARE: Final = 0.01


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What the chain found: rows of the city, agents asked, and how long it took.

    `first_accepted`: before anybody was asked; `known`: rows that became candidates; `certain`:
    agents asked because they hold an accepted sighting; `stated` posterior per accepted row.
    """

    first_accepted: I64
    first_review: I64
    first_known: I64
    accepted: I64
    review: I64
    known: I64
    posterior: NDArray[np.float64]
    asked: frozenset[str]
    certain: frozenset[str]
    queries: int
    seconds: float


def run_case(
    world: World, found: Search, case: int, settings: EvaluateSettings,
    clock: Callable[[], float] = time.monotonic,
) -> CaseResult:  # fmt: skip
    """Return what the chain finds of one case; the search is done."""
    started_s = clock()
    believe = trace_settings(world)
    have, asked, certain, queries = found.passes.copy(), set[str](), set[str](), 0
    rows = np.flatnonzero(have)
    table, result = _traced(world, found, case, rows, believe, settings)
    first = rows[result.accepted], rows[result.review], rows
    for _ in range(settings.rounds):
        believe = replace(believe, speeds=_speeds(table, result, world.graph))
        plan = _plan(world, table, result, believe, frozenset(asked))
        queries += len(plan.asks)
        asked |= {ask.query.agent_id for ask in plan.asks}
        certain |= {ask.query.agent_id for ask in plan.asks if not ask.beyond}
        have |= _replies(world, found, plan)
        rows = np.flatnonzero(have)
        table, result = _traced(world, found, case, rows, believe, settings)
    return CaseResult(
        first_accepted=first[0],
        first_review=first[1],
        first_known=first[2],
        accepted=rows[result.accepted],
        review=rows[result.review],
        known=rows,
        posterior=result.posterior[result.accepted],
        asked=frozenset(asked),
        certain=frozenset(certain),
        queries=queries,
        seconds=clock() - started_s,
    )


def trace_settings(world: World) -> TraceSettings:
    """Return the prior of a case in this city."""
    return TraceSettings(
        sightings_searched=max(round(world.sightings_per_day * world.days), 1),
        searched_s=world.days * 86_400.0,
        sightings_expected=EXPECTED_PER_DAY * world.days,
        camera_radius_m=world.graph.radius_m,
    )


def _traced(
    world: World, found: Search, case: int, rows: I64, believe: TraceSettings,
    settings: EvaluateSettings,
) -> tuple[CandidateTable, TableTrace]:  # fmt: skip
    table, scores = table_of_rows(world, found, rows)
    anchors = world.anchors(case)[: settings.anchors]
    result = trace_table(
        table, world.graph, believe, scores=scores, anchors=anchors, outages=world.outages,
        traffic=world.traffic,
    )  # fmt: skip
    return table, result


def _plan(
    world: World, table: CandidateTable, result: TableTrace, believe: TraceSettings,
    asked: frozenset[str],
) -> RoutePlan:  # fmt: skip
    cameras = len(world.graph)
    most = round(LARGE_CITY_SHARE * cameras) if cameras >= LARGE_CITY else MAX_AGENTS
    budget = RouteSettings(max_gap_agents=None, max_agents=most)
    trace = as_trace(result, table, believe.merge_gap_s)
    states = AgentStates(asked=asked)
    return route(trace, world.graph, budget, agents=states, outages=world.outages)


def _replies(world: World, found: Search, plan: RoutePlan) -> NDArray[np.bool_]:
    """Return (n,) what the asked agents reveal: theirs, in the window, above the local limit."""
    place = {name: i for i, name in enumerate(world.graph.camera_ids)}
    spans = [(place[a.query.camera_id], a.query.start_us, a.query.end_us) for a in plan.asks]
    return _held(world, found, spans)


def _held(world: World, found: Search, spans: Sequence[tuple[int, int, int]]) -> NDArray[np.bool_]:
    """Return (n,) what passes the local limit within (camera, from µs, until µs) spans."""
    seen, held = world.seen, np.zeros(len(world.seen), bool)
    local = np.flatnonzero(found.passes_locally)
    local = local[np.argsort(seen.camera[local], kind="stable")]
    first = np.searchsorted(seen.camera[local], np.arange(len(world.graph) + 1))
    for camera, start_us, end_us in spans:
        rows = local[first[camera] : first[camera + 1]]
        inside = (seen.start_us[rows] <= end_us) & (seen.end_us[rows] >= start_us)
        held[rows[inside]] = True
    return held


def _speeds(table: CandidateTable, result: TableTrace, graph: TravelGraph) -> Speeds:
    path = result.path[np.isin(result.path, result.accepted)]
    a, b = path[:-1], path[1:]
    place = {name: i for i, name in enumerate(graph.camera_ids)}
    camera = np.array([place[name] for name in table.cameras], np.int64)[table.camera]
    walk_s, between = graph.way(camera[a], camera[b])
    taken_s = (table.start_us[b] - table.end_us[a]) / 1e6
    near = between >= 0
    return learned_speeds(walk_s[near], taken_s[near])
