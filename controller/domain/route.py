"""Who is asked? The agents that saw the subject, and the few that may have.

Between two accepted visits the subject can only have been inside the space-time prism
(Haegerstrand, 1970): cameras reachable from the first in time to reach the second. They are ranked
by the time the subject could have spent there, until 95 % of the mass or the budget is reached.
"""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from controller.domain.types import CameraSite, PlannedQuery, Trace, Visit


@dataclass(frozen=True, slots=True)
class RouteSettings:
    """Budgets, and how a person moves."""

    max_gap_agents: int = 3
    max_agents: int = 50
    margin_s: float = 60.0
    speed_m_s: float = 1.4
    camera_radius_m: float = 15.0
    mass: float = 0.95
    least_stay_s: float = 60.0
    max_gap_s: float = 3 * 3600.0


def plan(
    trace: Trace, sites: Mapping[str, CameraSite], settings: RouteSettings
) -> tuple[PlannedQuery, ...]:
    """Return the questions worth asking, the certain ones first, one for each agent and gap."""
    certain = [_of_visit(v, sites, settings) for v in trace.visits]
    known = {q.agent_id for q in certain}
    guesses = sorted(
        _of_gaps(trace.visits, sites, settings, known), key=lambda q: (-q.expected_gain, q.agent_id)
    )
    chosen: list[PlannedQuery] = []
    for query in guesses:
        asked = {q.agent_id for q in chosen}
        if query.agent_id in asked or len(asked) < settings.max_gap_agents:
            chosen.append(query)
    return _within(certain + chosen, settings.max_agents)


def _within(queries: Iterable[PlannedQuery], max_agents: int) -> tuple[PlannedQuery, ...]:
    asked: set[str] = set()
    kept = []
    for query in queries:
        if query.agent_id in asked or len(asked) < max_agents:
            asked.add(query.agent_id)
            kept.append(query)
    return tuple(kept)


def _of_visit(
    visit: Visit, sites: Mapping[str, CameraSite], settings: RouteSettings
) -> PlannedQuery:
    margin_us = round(settings.margin_s * 1e6)
    return PlannedQuery(
        agent_id=sites[visit.camera_id].agent_id,
        camera_id=visit.camera_id,
        kind="lookback",
        start_us=visit.start_us - margin_us,
        end_us=visit.end_us + margin_us,
        reason=f"saw the subject (posterior {visit.posterior:.3f}): who was near, with which mask?",
        expected_gain=visit.posterior,
    )


def _of_gaps(
    visits: tuple[Visit, ...], sites: Mapping[str, CameraSite], settings: RouteSettings,
    known: set[str],
) -> list[PlannedQuery]:  # fmt: skip
    found: list[PlannedQuery] = []
    for before, after in itertools.pairwise(visits):
        gap_s = (after.start_us - before.end_us) / 1e6
        if 0 < gap_s <= settings.max_gap_s and before.camera_id != after.camera_id:
            found += _of_gap(before, after, sites, settings, known)
    return found


def _of_gap(
    before: Visit, after: Visit, sites: Mapping[str, CameraSite], settings: RouteSettings,
    known: set[str],
) -> list[PlannedQuery]:  # fmt: skip
    gap_s = (after.start_us - before.end_us) / 1e6
    stays = []
    for site in sites.values():
        if site.agent_id in known:
            continue
        there_s = _walk_s(sites[before.camera_id], site, settings)
        back_s = _walk_s(site, sites[after.camera_id], settings)
        stay_s = gap_s - there_s - back_s
        if stay_s >= settings.least_stay_s:
            stays.append((stay_s, there_s, back_s, site))
    if not stays:
        return []
    total = sum(stay for stay, *_ in stays)
    stays.sort(key=lambda s: (-s[0], s[3].camera_id))
    reached = np.cumsum([s[0] for s in stays]) / total
    enough = int(np.searchsorted(reached, settings.mass)) + 1
    return [
        PlannedQuery(
            agent_id=site.agent_id,
            camera_id=site.camera_id,
            kind="lookback",
            start_us=before.end_us + round(there_s * 1e6),
            end_us=after.start_us - round(back_s * 1e6),
            reason=(
                f"may have seen the subject between {before.camera_id} and {after.camera_id}: "
                f"{stay_s / 60:.0f} min to spare on the way"
            ),
            expected_gain=stay_s / total * 0.5,
        )
        for stay_s, there_s, back_s, site in stays[:enough]
    ]


def _walk_s(a: CameraSite, b: CameraSite, settings: RouteSettings) -> float:
    between_m = float(np.hypot(a.x_m - b.x_m, a.y_m - b.y_m))
    return max(0.0, between_m - 2 * settings.camera_radius_m) / settings.speed_m_s
