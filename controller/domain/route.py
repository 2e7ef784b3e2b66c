"""Who is asked? The agents that saw the subject, and the few that may have.

Certain are the agents of accepted sightings; doubtful ones and those in the prism of a gap are
ranked by the probability that they hold the subject, summed over all gaps, until 95 % of that mass
or the budget is reached. Agents that are asked anyway cost nothing more, so they are asked about
every gap that they may fill. A plan is a value: it can be shown before anything is sent.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

import numpy as np

from controller.domain.presence import Outages
from controller.domain.route_prism import Guess, PrismSettings, guesses
from controller.domain.travel import TravelGraph, graph_of_sites
from controller.domain.types import CameraSite, PlannedQuery, Trace, Visit

MAX_WINDOWS: Final = 8
"""Windows asked of one camera; beyond it those with the smallest break between them are joined."""
MINUTE_US: Final = 60_000_000


@dataclass(frozen=True, slots=True)
class RouteSettings:
    """Budgets, and how a person moves.

    `max_gap_agents` beyond those that hold accepted sightings (None: as many as those),
    `max_agents` in all; `per_agent_per_hour` queries are sent to one agent, the others wait;
    `known_gaps`: agents that hold accepted sightings are asked about gaps as well.
    """

    max_gap_agents: int | None = 3
    max_agents: int = 50
    margin_s: float = 60.0
    mass: float = 0.95
    doubtful_from: float = 0.05
    per_agent_per_hour: int = 12
    camera_radius_m: float = 15.0
    watch_agents: int = 5
    watch_s: float = 3600.0
    known_gaps: bool = True
    prism: PrismSettings = field(default_factory=PrismSettings)


@dataclass(frozen=True, slots=True)
class Ask:
    """A query and when it goes out: now, when its agent is back, or when its hour allows."""

    query: PlannedQuery
    when: Literal["now", "when back", "next hour"]
    beyond: bool
    """Whether the agent holds no accepted sighting."""


@dataclass(frozen=True, slots=True)
class Watch:
    """An agent that may see the subject next, until when it watches (µs), and why."""

    agent_id: str
    camera_id: str
    until_us: int
    probability: float
    reason: str


@dataclass(frozen=True, slots=True)
class RoutePlan:
    """What would be asked; `mass` is the share of the guessed sightings that it covers."""

    asks: tuple[Ask, ...]
    watches: tuple[Watch, ...]
    mass: float
    left_out: int

    @property
    def sentence(self) -> str:
        """Say in one sentence who would be asked."""
        known = {a.query.agent_id for a in self.asks if not a.beyond}
        beyond = {a.query.agent_id for a in self.asks if a.beyond}
        waiting = {a.query.agent_id for a in self.asks if a.when != "now"}
        return (
            f"{len(known)} agents hold accepted sightings, {len(beyond)} more may hold the subject "
            f"({self.mass:.0%} of what may be missing); {len(waiting)} of them are asked later; "
            f"{self.left_out} agents of less promise are not asked"
        )


@dataclass(frozen=True, slots=True)
class AgentStates:
    """Who is offline, how many queries each agent got in the last hour, and who knows the case.

    `asked`: agents that were asked in this case before. They count against the budget, and may be
    asked again without anybody else's hearing of the case.
    """

    offline: frozenset[str] = frozenset()
    asked_last_hour: Mapping[str, int] = field(default_factory=dict)
    asked: frozenset[str] = frozenset()


def plan(
    trace: Trace, sites: Mapping[str, CameraSite], settings: RouteSettings
) -> tuple[PlannedQuery, ...]:
    """Return the questions worth asking, the certain ones first."""
    graph = graph_of_sites(sites, radius_m=settings.camera_radius_m)
    once = replace(settings, known_gaps=False)
    return tuple(ask.query for ask in route(trace, graph, once).asks)


def route(
    trace: Trace, graph: TravelGraph, settings: RouteSettings, *,
    agents: AgentStates = AgentStates(), outages: Outages | None = None,
    live_from_us: int | None = None,
) -> RoutePlan:  # fmt: skip
    """Return the plan for a trace; watches only where the case is live (`live_from_us`)."""
    place = {name: i for i, name in enumerate(graph.camera_ids)}
    visits = [v for v in trace.visits if v.camera_id in place]
    certain = [_of_visit(v, place[v.camera_id], settings) for v in visits]
    known = list(dict.fromkeys(graph.agent_ids[g.camera] for g in certain))[: settings.max_agents]
    doubtful = [
        _of_doubt(v, place[v.camera_id], settings)
        for v in trace.review
        if v.posterior >= settings.doubtful_from and v.camera_id in place
    ]
    maybe = doubtful + guesses(visits, graph, settings.prism, outages)
    chosen, mass, left_out = _chosen(maybe, graph, known, agents.asked, settings)
    asks: list[Ask] = []
    for agent_id in [*known, *chosen]:
        beyond = agent_id in chosen
        wanted = [*certain, *maybe] if beyond or settings.known_gaps else certain
        mine = [g for g in wanted if graph.agent_ids[g.camera] == agent_id]
        queries = _queries(mine, graph)
        asks += _timed(queries, agent_id, agents, settings, beyond=beyond)
    watches = _watches(visits, graph, settings, live_from_us)
    return RoutePlan(tuple(asks), watches, mass, left_out)


def _of_visit(visit: Visit, camera: int, settings: RouteSettings) -> Guess:
    margin_us = round(settings.margin_s * 1e6)
    reason = f"saw the subject (posterior {visit.posterior:.3f}): who was near, with which mask?"
    start_us, end_us = visit.start_us - margin_us, visit.end_us + margin_us
    return Guess(camera, start_us, end_us, visit.posterior, reason)


def _of_doubt(visit: Visit, camera: int, settings: RouteSettings) -> Guess:
    margin_us = round(settings.margin_s * 1e6)
    reason = f"holds a doubtful sighting of the subject (posterior {visit.posterior:.2f})"
    start_us, end_us = visit.start_us - margin_us, visit.end_us + margin_us
    return Guess(camera, start_us, end_us, visit.posterior, reason)


def _chosen(
    maybe: Sequence[Guess],
    graph: TravelGraph,
    known: Sequence[str],
    asked: frozenset[str],
    settings: RouteSettings,
) -> tuple[list[str], float, int]:
    """Return agents beyond the known by probability, the mass they cover, how many are left out."""
    missing: dict[str, float] = {}
    for guess in maybe:
        agent_id = graph.agent_ids[guess.camera]
        if agent_id not in known:
            missing[agent_id] = missing.get(agent_id, 0.0) - float(
                np.log1p(-min(guess.probability, 0.999))
            )
    ranked = sorted(missing, key=lambda name: (-missing[name], name))
    held = np.array([1.0 - np.exp(-missing[name]) for name in ranked])
    total = float(held.sum())
    most = len(known) if settings.max_gap_agents is None else settings.max_gap_agents
    before = [name for name in ranked if name in asked]
    most = min(most, settings.max_agents - len(known)) - len(asked.difference(known))
    enough = int(np.searchsorted(np.cumsum(held), settings.mass * total - 1e-12)) + 1
    fresh = [name for name in ranked[:enough] if name not in asked]
    taken = before + fresh[: max(most, 0)]
    chance = dict(zip(ranked, held.tolist(), strict=True))
    covered = sum(chance[name] for name in taken) / total if total > 0 else 1.0
    return taken, covered, len(ranked) - len(taken)


def _queries(mine: Sequence[Guess], graph: TravelGraph) -> list[PlannedQuery]:
    """Return one agent's questions: overlapping windows of a camera are one question."""
    queries = []
    for camera in dict.fromkeys(guess.camera for guess in mine):
        windows = _joined([g for g in mine if g.camera == camera])
        for start_us, end_us, best, gain in windows:
            queries.append(
                PlannedQuery(
                    agent_id=graph.agent_ids[camera], camera_id=graph.camera_ids[camera],
                    kind="lookback", start_us=start_us, end_us=end_us, reason=best.reason,
                    expected_gain=gain,
                )
            )  # fmt: skip
    return sorted(queries, key=lambda q: (-q.expected_gain, q.start_us))


def _joined(windows: Sequence[Guess]) -> list[tuple[int, int, Guess, float]]:
    ordered = sorted(windows, key=lambda g: (g.start_us, g.end_us))
    groups: list[list[Guess]] = []
    for one in ordered:
        if groups and one.start_us <= max(g.end_us for g in groups[-1]):
            groups[-1].append(one)
        else:
            groups.append([one])
    while len(groups) > MAX_WINDOWS:
        breaks = [b[0].start_us - max(g.end_us for g in a) for a, b in itertools.pairwise(groups)]
        k = int(np.argmin(breaks))
        groups[k : k + 2] = [groups[k] + groups[k + 1]]
    joined = []
    for group in groups:
        best = max(group, key=lambda g: g.probability)
        gain = 1.0 - float(np.prod([1.0 - min(g.probability, 1.0) for g in group]))
        joined.append((group[0].start_us, max(g.end_us for g in group), best, gain))
    return joined


def _timed(
    queries: Sequence[PlannedQuery], agent_id: str, agents: AgentStates, settings: RouteSettings,
    *, beyond: bool,
) -> list[Ask]:  # fmt: skip
    allowed = settings.per_agent_per_hour - agents.asked_last_hour.get(agent_id, 0)
    asks = []
    for k, query in enumerate(queries):
        when: Literal["now", "when back", "next hour"] = "now" if k < allowed else "next hour"
        if agent_id in agents.offline:
            when = "when back"
        asks.append(Ask(query, when, beyond))
    return asks


def _watches(
    visits: Sequence[Visit], graph: TravelGraph, settings: RouteSettings, live_from_us: int | None
) -> tuple[Watch, ...]:
    """Return the next hops of a live case: where somebody who was last seen there turns up."""
    if live_from_us is None or not visits:
        return ()
    last = max(visits, key=lambda v: v.end_us)
    here = graph.camera_ids.index(last.camera_id)
    _, near = graph.near(np.array([here]))
    cameras = np.concatenate([[here], near]).astype(np.int64)
    walk_s, between = graph.way(np.full(len(cameras), here, np.int64), cameras)
    weight = 0.5 ** np.maximum(between, 0) * np.exp(-walk_s / 600.0)
    share = weight / weight.sum()
    until_us = live_from_us + round(settings.watch_s * 1e6)
    best = np.argsort(-share, kind="stable")[: settings.watch_agents]
    return tuple(
        Watch(
            graph.agent_ids[cameras[k]], graph.camera_ids[cameras[k]], until_us, float(share[k]),
            f"{walk_s[k] / 60:.0f} min on foot from {last.camera_id}, where the subject was last "
            "seen",
        )
        for k in best
    )  # fmt: skip
