"""From look-alikes to one feasible trace: a time-ordered graph, Viterbi and forward-backward.

A candidate is a node, what the person said is a node, a chain of nodes is a hypothesis of where the
subject was. It weighs the faces' log-likelihood ratios and the gains of its steps (`trace_moves`).
The graph grows outward from what is strong (`trace_grow`); the best chain is the trace, a node's
posterior its share of all chains (`trace_chain`). A stretch that one look-alike could have made is
taken out and the rest is computed anew, until what is left stands (`trace_runs`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from controller.domain.candidates import CandidateTable
from controller.domain.presence import Outages
from controller.domain.trace_chain import Chains
from controller.domain.trace_explain import as_trace
from controller.domain.trace_faces import FaceScores, LookAlikes, scores_of_llrs
from controller.domain.trace_grow import edges_of, grown
from controller.domain.trace_habit import familiar
from controller.domain.trace_moves import OVERLAP_SLACK_S, Moves, MoveSettings
from controller.domain.trace_nodes import (
    ANCHOR,
    CONFIRMED,
    OPEN,
    Anchor,
    Nodes,
    Verdicts,
    nodes_of,
    table_of,
)
from controller.domain.trace_runs import RunTest, tested
from controller.domain.trace_states import ACCEPTED, REJECTED, REVIEW, TableTrace
from controller.domain.traffic import Traffic
from controller.domain.travel import WALK_M_S, TravelGraph, graph_of_sites
from controller.domain.travel_speeds import Speeds
from controller.domain.types import F64, CameraSite, Candidate, Trace

I64 = NDArray[np.int64]
MAX_PEELS: Final = 16
"""How often a stretch is taken out and the chain computed anew; what fails later is for review."""
GROWTH_FLOOR: Final = -6.0
HOPELESS_LLR: Final = -4.0
"""A face so unlike the subject's is no candidate at any place and time."""
LEAST_ENTRY: Final = 0.7
DAY_S: Final = 86_400.0
POSTERIORS_EVERY: Final = 4
MUTE_SHARE: Final = 0.25


@dataclass(frozen=True, slots=True)
class TraceSettings:
    """Among how many sightings the candidates were found, and when one is believed.

    `sightings_searched` in `searched_s` seconds of all cameras; `sightings_expected` of the subject
    among them.
    """

    sightings_searched: int = 10_000
    searched_s: float = 86_400.0
    sightings_expected: float = 10.0
    camera_radius_m: float = 15.0
    speeds: Speeds = field(default_factory=Speeds)
    look_alikes: LookAlikes = field(default_factory=LookAlikes)
    miss: float = 0.4
    accept_posterior: float = 0.85
    review_posterior: float = 0.05
    merge_gap_s: float = 45.0

    @property
    def entry_cost(self) -> float:
        """Return the log prior odds against a sighting out of the blue."""
        return float(np.log(max(self.sightings_searched / self.sightings_expected, 2.0)))

    @property
    def moves(self) -> MoveSettings:
        """Return how the subject moves."""
        return MoveSettings(speeds=self.speeds, miss=self.miss)

    def even(self, cameras: int) -> Traffic:
        """Return the strangers of so many cameras, the same everywhere."""
        return Traffic.even(
            cameras, self.sightings_searched / (max(cameras, 1) * max(self.searched_s, 1.0))
        )


def trace(
    candidates: Sequence[Candidate],
    sites: Mapping[str, CameraSite],
    settings: TraceSettings,
    *,
    anchors: Sequence[Anchor] = (),
    verdicts: Verdicts = Verdicts(),
) -> Trace:
    """Return the most likely feasible trace with a posterior for each of its sightings."""
    ordered = sorted(candidates, key=lambda c: (c.start_us, c.end_us, c.sighting_id.bytes))
    table = table_of(ordered)
    graph = graph_of_sites(sites, radius_m=settings.camera_radius_m)
    found = trace_table(table, graph, settings, anchors=anchors, verdicts=verdicts)
    return as_trace(found, table, settings.merge_gap_s)


def trace_table(
    table: CandidateTable,
    graph: TravelGraph,
    settings: TraceSettings,
    *,
    scores: FaceScores | None = None,
    anchors: Sequence[Anchor] = (),
    verdicts: Verdicts = Verdicts(),
    outages: Outages | None = None,
    traffic: Traffic | None = None,
) -> TableTrace:
    """Return state and posterior of each of up to 300,000 candidates, and the chain's order."""
    moves = Moves(graph, outages or Outages.none(), settings.moves)
    traffic = traffic or settings.even(len(graph))
    scores = scores or scores_of_llrs(table)
    everybody = nodes_of(table, scores, graph, anchors, verdicts, traffic)
    hopeful = (everybody.kind != OPEN) | (everybody.llr >= HOPELESS_LLR)
    everybody = everybody.take(np.flatnonzero(hopeful))
    entry = _entry(everybody, settings)
    nodes = everybody.take(grown(everybody, moves, entry, GROWTH_FLOOR))
    belief = _believed(nodes, moves, settings)
    firm = belief.path[belief.posterior[belief.path] >= settings.accept_posterior]
    known = familiar(nodes, firm, graph)
    if len(known):
        nodes = replace(nodes, log_found=known)
        belief = _believed(nodes, moves, settings)
    return _stated(table, nodes, belief, settings)


def _entry(nodes: Nodes, settings: TraceSettings) -> F64:
    """Return (n,) log odds against each node's being the subject's, out of the blue."""
    per_day = settings.sightings_expected * DAY_S / settings.searched_s
    odds = np.maximum(nodes.log_hz - nodes.log_found - np.log(per_day), LEAST_ENTRY)
    return np.asarray(np.where(nodes.kind == OPEN, odds, 0.0))


@dataclass(frozen=True, slots=True)
class _Belief:
    """(n,) posteriors of nodes, log odds against a look-alike (0 off the path), and the path."""

    posterior: F64
    odds: F64
    path: I64


def _believed(nodes: Nodes, moves: Moves, settings: TraceSettings) -> _Belief:
    entry = _entry(nodes, settings)
    chains = Chains(nodes, edges_of(nodes, moves), moves, entry)
    weights, odds = nodes.llr.copy(), np.zeros(len(nodes))
    posterior = np.zeros(len(nodes))
    for peel in range(MAX_PEELS + 1):
        path = chains.best(weights)
        if peel % POSTERIORS_EVERY == 0:
            posterior = chains.posteriors(weights)
        test = tested(path, nodes, posterior, moves, entry, settings.look_alikes)
        odds[path] = test.odds
        weak = _weak(path, test, nodes)
        if not len(weak) or peel == MAX_PEELS:
            break
        weights[weak] = -np.inf
    posterior = chains.posteriors(weights)
    on_path = np.zeros(len(nodes), bool)
    on_path[path] = True
    failed = ~np.isfinite(weights)
    posterior = np.where(on_path, posterior * expit(odds), posterior)
    # Taken out by the look-alike test: as likely as that test says.
    posterior = np.where(failed, expit(odds), posterior)
    return _Belief(posterior, odds, path)


def _weak(path: I64, test: RunTest, nodes: Nodes) -> I64:
    """Return what to take out: of stretches that fail and overlap, only the worst for now.

    That is all of a stretch, unless some faces in it say next to nothing beside others: then only
    those go, for without them the rest may stand.
    """
    failed = np.flatnonzero((test.odds < 0) & (nodes.kind[path] == OPEN))
    taken = np.zeros(len(path), bool)
    weak = [np.empty(0, np.int64)]
    for worst in failed[np.argsort(test.odds[failed], kind="stable")]:
        stretch = slice(test.first[worst], test.last[worst] + 1)
        if taken[stretch].any():
            continue
        taken[stretch] = True
        mine = path[stretch]
        mute = nodes.llr[mine] < MUTE_SHARE * nodes.llr[mine].max()
        weak.append(mine[mute] if mute.any() else mine)
    return np.concatenate(weak)


def _stated(
    table: CandidateTable, nodes: Nodes, belief: _Belief, settings: TraceSettings
) -> TableTrace:
    posterior, odds = np.zeros(len(table)), np.zeros(len(table))
    state = np.full(len(table), REJECTED, np.int8)
    mine = np.flatnonzero(nodes.kind != ANCHOR)
    rows = nodes.row[mine]
    posterior[rows], odds[rows] = belief.posterior[mine], belief.odds[mine]
    state[posterior >= settings.review_posterior] = REVIEW
    path = belief.path[nodes.kind[belief.path] != ANCHOR]
    sure = nodes.row[path][posterior[nodes.row[path]] >= settings.accept_posterior]
    state[sure] = ACCEPTED
    confirmed = nodes.row[mine][nodes.kind[mine] == CONFIRMED]
    state[confirmed], posterior[confirmed] = ACCEPTED, 1.0
    return TableTrace(state, posterior, odds, nodes.row[path], confirmed, settings.entry_cost)


def feasible(
    first: Candidate, then: Candidate, sites: Mapping[str, CameraSite], settings: TraceSettings
) -> bool:
    """Tell whether one person can be in both sightings, `first` before `then`."""
    gap_s = (then.start_us - first.end_us) / 1e6
    if first.camera_id == then.camera_id:
        return gap_s >= -OVERLAP_SLACK_S
    slack_s = first.time_uncertainty_s + then.time_uncertainty_s
    a, b = sites[first.camera_id], sites[then.camera_id]
    apart_m = max(0.0, float(np.hypot(a.x_m - b.x_m, a.y_m - b.y_m)) - 2 * settings.camera_radius_m)
    fastest_m_s = WALK_M_S * settings.speeds.fastest_pace
    # Cameras that look at one place may both see a person at once.
    return apart_m == 0.0 or (gap_s >= -slack_s and gap_s + slack_s >= apart_m / fastest_m_s)
