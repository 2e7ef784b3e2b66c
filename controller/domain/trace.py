"""From look-alikes to one feasible trace: a time-ordered graph, Viterbi and forward-backward.

A candidate is a node. A chain of nodes is a hypothesis of where the subject was; it weighs

    product over its nodes of exp(llr - cost),

where the cost is the log prior odds against a sighting being the subject's: high for one out of
the blue, lower by `near_relief` for one within a short walk and half an hour of the last (about
one in twenty of a day's sightings is), low for one in the same camera within moments. Only feasible
steps are edges (nobody is at two places, nobody walks faster than `speed_m_s`). The best chain is
the trace (Viterbi, 1967); a node's posterior is the weight of all chains through it as a share of
all chains (Rabiner, 1989, forward-backward on a graph of subsets).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import logsumexp

from controller.domain.types import F64, CameraSite, Candidate, Decision, Trace, Visit

MAX_NODES: Final = 3000
"""More candidates than this are cut to the best by llr."""
OVERLAP_SLACK_S: Final = 1.5


@dataclass(frozen=True, slots=True)
class TraceSettings:
    """How a person moves, and when a sighting is believed."""

    speed_m_s: float = 3.0
    camera_radius_m: float = 15.0
    sightings_searched: int = 10_000
    sightings_expected: float = 10.0
    continuity_s: float = 45.0
    continuity_cost: float = 1.0
    near_s: float = 1800.0
    near_m: float = 600.0
    near_relief: float = 3.0
    accept_posterior: float = 0.9
    review_posterior: float = 0.05
    merge_gap_s: float = 45.0

    @property
    def entry_cost(self) -> float:
        """Return the log prior odds against a sighting out of the blue."""
        return float(np.log(max(self.sightings_searched / self.sightings_expected, 2.0)))


def trace(
    candidates: Sequence[Candidate],
    sites: Mapping[str, CameraSite],
    settings: TraceSettings,
) -> Trace:
    """Return the most likely feasible trace with a posterior for each of its sightings."""
    usable = [c for c in candidates if c.camera_id in sites]
    best = sorted(usable, key=lambda c: (-c.llr, c.sighting_id.bytes))[:MAX_NODES]
    nodes = sorted(best, key=lambda c: (c.start_us, c.end_us, c.sighting_id.bytes))
    if not nodes:
        return Trace((), (), len(candidates), len(candidates))
    edges = _edge_costs(nodes, sites, settings)
    weights = np.array([c.llr for c in nodes])
    posterior = _posteriors(weights, edges, settings.entry_cost)
    chain = _viterbi(weights, edges, settings.entry_cost)
    accepted = {i for i in chain if posterior[i] >= settings.accept_posterior}
    doubtful = {i for i in range(len(nodes)) if posterior[i] >= settings.review_posterior}
    visits = _visits(nodes, posterior, sorted(accepted), "accepted", settings)
    review = _visits(nodes, posterior, sorted(doubtful - accepted), "review", settings)
    rejected = len(candidates) - len(accepted) - len(doubtful - accepted)
    return Trace(visits, review, len(candidates), rejected)


def feasible(
    first: Candidate, then: Candidate, sites: Mapping[str, CameraSite], settings: TraceSettings
) -> bool:
    """Tell whether one person can be in both sightings, `first` before `then`."""
    gap_s = (then.start_us - first.end_us) / 1e6
    if first.camera_id == then.camera_id:
        return gap_s >= -OVERLAP_SLACK_S
    slack_s = first.time_uncertainty_s + then.time_uncertainty_s
    walk_m = _walk_m(sites[first.camera_id], sites[then.camera_id], settings)
    return gap_s + slack_s >= walk_m / settings.speed_m_s and gap_s >= -slack_s


def _walk_m(a: CameraSite, b: CameraSite, settings: TraceSettings) -> float:
    between_m = float(np.hypot(a.x_m - b.x_m, a.y_m - b.y_m))
    return max(0.0, between_m - 2 * settings.camera_radius_m)


def _edge_costs(
    nodes: Sequence[Candidate], sites: Mapping[str, CameraSite], settings: TraceSettings
) -> F64:
    """Return the (n, n) cost of stepping from row to column; infinite where nobody can."""
    start = np.array([c.start_us for c in nodes]) / 1e6
    end = np.array([c.end_us for c in nodes]) / 1e6
    # Relative times keep microseconds exact in doubles.
    gap = (start[None, :] - start[0]) - (end[:, None] - start[0])
    slack = np.array([c.time_uncertainty_s for c in nodes])
    slack = slack[:, None] + slack[None, :]
    names = {camera: k for k, camera in enumerate(sorted({c.camera_id for c in nodes}))}
    index = np.array([names[c.camera_id] for c in nodes])
    same = index[:, None] == index[None, :]
    places = np.array([(sites[c.camera_id].x_m, sites[c.camera_id].y_m) for c in nodes])
    between = np.linalg.norm(places[:, None] - places[None, :], axis=2)
    walk_s = np.clip(between - 2 * settings.camera_radius_m, 0, None) / settings.speed_m_s
    possible = np.where(same, gap >= -OVERLAP_SLACK_S, (gap + slack >= walk_s) & (gap >= -slack))
    order = np.arange(len(nodes))
    possible &= order[:, None] < order[None, :]
    near = same & (gap <= settings.continuity_s)
    walkable = (gap <= settings.near_s) & (between <= settings.near_m)
    nearby_cost = max(settings.continuity_cost, settings.entry_cost - settings.near_relief)
    cost = np.where(walkable, nearby_cost, settings.entry_cost)
    cost = np.where(near, settings.continuity_cost, cost)
    return np.where(possible, cost, np.inf)


def _posteriors(weights: F64, edges: F64, entry_cost: float) -> F64:
    count = len(weights)
    forward, backward = np.zeros(count), np.zeros(count)
    for i in range(count):
        arrivals = forward[:i] - edges[:i, i]
        forward[i] = weights[i] + logsumexp(np.append(arrivals, -entry_cost))
    for i in reversed(range(count)):
        departures = weights[i + 1 :] - edges[i, i + 1 :] + backward[i + 1 :]
        backward[i] = logsumexp(np.append(departures, 0.0))
    # The empty chain (the subject was nowhere) has weight 1.
    total = logsumexp(np.append(forward, 0.0))
    return np.asarray(np.exp(np.clip(forward + backward - total, None, 0.0)))


def _viterbi(weights: F64, edges: F64, entry_cost: float) -> list[int]:
    count = len(weights)
    best, previous = np.zeros(count), np.full(count, -1)
    for i in range(count):
        arrivals = np.append(best[:i] - edges[:i, i], -entry_cost)
        choice = int(np.argmax(arrivals))
        best[i] = weights[i] + arrivals[choice]
        previous[i] = choice if choice < i else -1
    last = int(np.argmax(best))
    if best[last] <= 0:
        return []
    chain = [last]
    while previous[chain[-1]] >= 0:
        chain.append(int(previous[chain[-1]]))
    return chain[::-1]


def _visits(
    nodes: Sequence[Candidate], posterior: F64, chosen: Sequence[int], decision: Decision,
    settings: TraceSettings,
) -> tuple[Visit, ...]:  # fmt: skip
    groups: list[list[int]] = []
    for i in chosen:
        last = nodes[groups[-1][-1]] if groups else None
        near = last is not None and last.camera_id == nodes[i].camera_id and (
            nodes[i].start_us - last.end_us <= settings.merge_gap_s * 1e6
        )  # fmt: skip
        if near:
            groups[-1].append(i)
        else:
            groups.append([i])
    return tuple(_visit(nodes, posterior, group, decision, settings) for group in groups)


def _visit(
    nodes: Sequence[Candidate], posterior: F64, group: Sequence[int], decision: Decision,
    settings: TraceSettings,
) -> Visit:  # fmt: skip
    members = [nodes[i] for i in group]
    best = max(members, key=lambda c: c.llr)
    probability = float(max(posterior[i] for i in group))
    return Visit(
        camera_id=best.camera_id,
        start_us=min(c.start_us for c in members),
        end_us=max(c.end_us for c in members),
        sighting_ids=tuple(c.sighting_id for c in members),
        posterior=probability,
        similarity=best.similarity,
        llr=best.llr,
        decision=decision,
        explanation=_explain(best, probability, decision, len(members), settings),
    )


def _explain(
    best: Candidate, probability: float, decision: Decision, count: int, settings: TraceSettings
) -> str:
    sightings = "one sighting" if count == 1 else f"{count} sightings"
    evidence = (
        f"similarity {best.similarity:.2f} ({best.mask_state}) makes this person e^{best.llr:.1f} "
        f"times likelier than a stranger, against prior odds of e^{settings.entry_cost:.1f}"
    )
    verdict = {
        "accepted": "reachable from the other accepted places",
        "review": "not certain enough to accept without a look",
        "rejected": "not believed",
    }[decision]
    return f"{sightings}: {evidence}; {verdict}; posterior {probability:.3f}."
