"""The graph under a trace: which steps are possible, what they cost, and the two classic passes.

A chain of sightings weighs the product over its nodes of exp(llr - cost of the step into it). The
best chain is found by dynamic programming (Viterbi, 1967); a node's posterior is the weight of all
chains through it as a share of all chains, the empty one included (forward-backward, Rabiner 1989).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import logsumexp

from controller.domain.types import F64, CameraSite, Candidate

OVERLAP_SLACK_S: Final = 1.5
SECONDS_PER_DAY: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class TraceSettings:
    """How a person moves, how crowded the search was, and when a sighting is believed.

    `sightings_searched` over `scope_s` and all cameras gives how dense strangers are;
    `sightings_expected` is how often the subject is thought to be among them. `next_probability`
    and `next_within_s`: how likely, and how soon on average, a camera sees the subject again.
    """

    speed_m_s: float = 2.5
    camera_radius_m: float = 15.0
    sightings_searched: int = 10_000
    sightings_expected: float = 10.0
    scope_s: float = SECONDS_PER_DAY
    next_probability: float = 0.5
    next_within_s: float = 1_800.0
    stroll_m_s: float = 1.4
    least_step_cost: float = 2.5
    continuity_s: float = 45.0
    continuity_cost: float = 1.0
    accept_posterior: float = 0.9
    review_posterior: float = 0.05
    merge_gap_s: float = 45.0

    @property
    def entry_cost(self) -> float:
        """Return the log prior odds against a sighting out of the blue."""
        return float(np.log(max(self.sightings_searched / self.sightings_expected, 2.0)))


@dataclass(frozen=True, slots=True)
class Lattice:
    """Nodes in order of time: `weights` (n,), `costs` (n, n) of steps, infinite if impossible."""

    weights: F64
    costs: F64
    entry_cost: float


def feasible(
    first: Candidate, then: Candidate, sites: Mapping[str, CameraSite], settings: TraceSettings
) -> bool:
    """Tell whether one person can be in both sightings, `first` before `then`.

    Cameras nearer to each other than two radii may see one person at the same time.
    """
    gap_s = (then.start_us - first.end_us) / 1e6
    if first.camera_id == then.camera_id:
        return gap_s >= -OVERLAP_SLACK_S
    slack_s = first.time_uncertainty_s + then.time_uncertainty_s
    walk_s = walk_m(sites[first.camera_id], sites[then.camera_id], settings) / settings.speed_m_s
    if walk_s == 0.0:
        return then.end_us >= first.end_us and then.start_us >= first.start_us
    return gap_s >= -slack_s and gap_s + slack_s >= walk_s


def walk_m(a: CameraSite, b: CameraSite, settings: TraceSettings) -> float:
    """Return the least way between two cameras' views in metres."""
    between_m = float(np.hypot(a.x_m - b.x_m, a.y_m - b.y_m))
    return max(0.0, between_m - 2 * settings.camera_radius_m)


def build_lattice(
    nodes: Sequence[Candidate], sites: Mapping[str, CameraSite], settings: TraceSettings
) -> Lattice:
    """Connect nodes, sorted by time, wherever one person can step from one to the next."""
    origin = nodes[0].start_us
    start = np.array([c.start_us - origin for c in nodes]) / 1e6
    end = np.array([c.end_us - origin for c in nodes]) / 1e6
    gap = start[None, :] - end[:, None]
    slack = np.array([c.time_uncertainty_s for c in nodes])
    slack = slack[:, None] + slack[None, :]
    cameras = sorted({c.camera_id for c in nodes})
    index = np.array([cameras.index(c.camera_id) for c in nodes])
    same = index[:, None] == index[None, :]
    between = _between_m(cameras, cameras, sites)[np.ix_(index, index)]
    walk_s = np.clip(between - 2 * settings.camera_radius_m, 0, None) / settings.speed_m_s
    apart = (gap >= -slack) & (gap + slack >= walk_s)
    beside = (walk_s == 0.0) & (end[None, :] >= end[:, None])
    possible = np.where(same, gap >= -OVERLAP_SLACK_S, np.where(walk_s == 0.0, beside, apart))
    order = np.arange(len(nodes))
    possible &= order[:, None] < order[None, :]
    costs = np.where(possible, _step_costs(gap, index, cameras, sites, settings), np.inf)
    weights = np.array([c.llr for c in nodes])
    return Lattice(weights, costs, settings.entry_cost)


def _step_costs(
    gap: F64, index: np.ndarray, cameras: Sequence[str], sites: Mapping[str, CameraSite],
    settings: TraceSettings,
) -> F64:  # fmt: skip
    """Return the log odds of a stranger against the subject seen next there and then.

    Strangers come at a steady rate; the subject comes next with an exponential delay and at any
    of the cameras within a stroll. Never dearer than a sighting out of the blue.
    """
    wait_s = np.clip(gap, 0, None)
    to_all = np.sort(_between_m(cameras, sorted(sites), sites), axis=1)
    reach = settings.stroll_m_s * wait_s + 2 * settings.camera_radius_m
    within = np.ones_like(wait_s)
    for row, camera in enumerate(index):
        within[row] = np.searchsorted(to_all[camera], reach[row], side="right")
    strangers = settings.sightings_searched / (len(sites) * settings.scope_s)
    subject = settings.next_probability * np.exp(-wait_s / settings.next_within_s)
    subject /= settings.next_within_s * np.maximum(within, 1.0)
    odds = np.log(max(strangers, 1e-12)) - np.log(np.maximum(subject, 1e-300))
    least = min(settings.least_step_cost, settings.entry_cost)
    return np.asarray(np.clip(odds, least, settings.entry_cost))


def _between_m(left: Sequence[str], right: Sequence[str], sites: Mapping[str, CameraSite]) -> F64:
    a, b = (np.array([(sites[c].x_m, sites[c].y_m) for c in names]) for names in (left, right))
    return np.asarray(np.hypot(*(a[:, None] - b[None, :]).transpose(2, 0, 1)))


def posteriors(lattice: Lattice) -> F64:
    """Return (n,) the probability of each node to be on the subject's true chain."""
    weights, costs = lattice.weights, lattice.costs
    count = len(weights)
    forward, backward = np.zeros(count), np.zeros(count)
    for i in range(count):
        arrivals = forward[:i] - costs[:i, i]
        forward[i] = weights[i] + logsumexp(np.append(arrivals, -lattice.entry_cost))
    for i in reversed(range(count)):
        departures = weights[i + 1 :] - costs[i, i + 1 :] + backward[i + 1 :]
        backward[i] = logsumexp(np.append(departures, 0.0))
    # The empty chain (the subject was nowhere) has weight 1.
    total = logsumexp(np.append(forward, 0.0))
    return np.asarray(np.exp(np.clip(forward + backward - total, None, 0.0)))


def best_chain(lattice: Lattice) -> list[int]:
    """Return the indices of the most likely chain in order; empty if no chain beats nothing."""
    count = len(lattice.weights)
    best, previous = np.zeros(count), np.full(count, -1)
    for i in range(count):
        arrivals = np.append(best[:i] - lattice.costs[:i, i], -lattice.entry_cost)
        choice = int(np.argmax(arrivals))
        best[i] = lattice.weights[i] + arrivals[choice]
        previous[i] = choice if choice < i else -1
    last = int(np.argmax(best))
    if best[last] <= 0:
        return []
    chain = [last]
    while previous[chain[-1]] >= 0:
        chain.append(int(previous[chain[-1]]))
    return chain[::-1]
