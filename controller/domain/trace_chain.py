"""The best chain through the graph (Viterbi, 1967), and each node's share of all chains.

Rabiner (1989) has both for a chain of states; here states are nodes and a chain visits a subset of
them in order of time. Besides the graph's edges every node can follow any that ended half an hour
or more before it ("lost, and found again"): these steps are worth the same, so running sums do.
"""

import math

import numpy as np
from numpy.typing import NDArray

from controller.domain.trace_grow import Edges
from controller.domain.trace_moves import SOON_S, Moves
from controller.domain.trace_nodes import Nodes
from controller.domain.types import F64

I64 = NDArray[np.int64]


class Chains:
    """Chains over n nodes; `entry_cost` (n,) is the log odds against each as the first."""

    def __init__(self, nodes: Nodes, edges: Edges, moves: Moves, entry_cost: F64) -> None:
        self._edges, self._entry = edges, entry_cost
        latest = np.maximum.accumulate(nodes.end_s) if len(nodes) else nodes.end_s
        # Everything before this place ended half an hour or more before the node began. It never
        # falls, so that what comes long after a node is a suffix.
        self._long_ago = np.searchsorted(latest, nodes.start_s - SOON_S, "right")
        self._long_after = np.searchsorted(self._long_ago, np.arange(len(nodes)), "right")
        self._lost = moves.lost_gains(nodes)
        self._by_i = np.lexsort((edges.j, edges.i))
        self._out = np.searchsorted(edges.i[self._by_i], np.arange(len(nodes) + 1))

    def best(self, weights: F64) -> I64:
        """Return the nodes of the best chain in order of time; none if no chain beats absence."""
        n, edges = len(weights), self._edges
        score, previous = np.full(n, -np.inf), np.full(n, -1)
        top, holder = np.full(n + 1, -np.inf), np.full(n + 1, -1)
        for j in range(n):
            if np.isfinite(weights[j]):
                ago = self._long_ago[j]
                options = [(-self._entry[j], -1), (top[ago] + self._lost[j], holder[ago])]
                low, high = edges.indptr[j], edges.indptr[j + 1]
                if high > low:
                    arrivals = score[edges.i[low:high]] + edges.gain[low:high]
                    at = int(arrivals.argmax())
                    options.append((arrivals[at], edges.i[low + at]))
                gain, previous[j] = max(options, key=lambda one: one[0])
                score[j] = weights[j] + gain
            better = score[j] > top[j]
            top[j + 1], holder[j + 1] = (score[j], j) if better else (top[j], holder[j])
        return _walked_back(score, previous)

    def posteriors(self, weights: F64) -> F64:
        """Return (n,) the weight of all chains through each node as a share of all chains.

        The empty chain (the subject was nowhere) has weight 1.
        """
        forward = self._forward(weights)
        backward = self._backward(weights)
        total = _log_sum(np.append(forward, 0.0))
        return np.asarray(np.exp(np.minimum(forward + backward - total, 0.0)))

    def _forward(self, weights: F64) -> F64:
        edges, n = self._edges, len(weights)
        forward, whole = np.full(n, -np.inf), np.full(n + 1, -np.inf)
        for j in range(n):
            if np.isfinite(weights[j]):
                low, high = edges.indptr[j], edges.indptr[j + 1]
                arrivals = forward[edges.i[low:high]] + edges.gain[low:high]
                far = whole[self._long_ago[j]] + self._lost[j]
                forward[j] = weights[j] + _log_sum(arrivals, far, -self._entry[j])
            whole[j + 1] = _log_add(whole[j], forward[j])
        return forward

    def _backward(self, weights: F64) -> F64:
        edges, n = self._edges, len(weights)
        backward, later = np.full(n, -np.inf), np.full(n, -np.inf)
        whole = np.full(n + 1, -np.inf)
        goals, gains = edges.j[self._by_i], edges.gain[self._by_i]
        for i in range(n - 1, -1, -1):
            if np.isfinite(weights[i]):
                low, high = self._out[i], self._out[i + 1]
                departures = later[goals[low:high]] + gains[low:high]
                backward[i] = _log_sum(departures, whole[self._long_after[i]], 0.0)
                later[i] = backward[i] + weights[i]
            whole[i] = _log_add(whole[i + 1], later[i] + self._lost[i])
        return backward


def _walked_back(score: F64, previous: I64) -> I64:
    if not len(score) or score.max() <= 0:
        return np.empty(0, np.int64)
    chain = [int(score.argmax())]
    while previous[chain[-1]] >= 0:
        chain.append(int(previous[chain[-1]]))
    return np.array(chain[::-1], np.int64)


def _log_sum(values: F64, *others: float) -> float:
    top = max((float(values.max()) if len(values) else -math.inf), *others, -math.inf)
    if top == -math.inf:
        return top
    rest = sum(math.exp(one - top) for one in others)
    return top + math.log(float(np.exp(values - top).sum()) + rest)


def _log_add(one: float, other: float) -> float:
    top = max(one, other)
    if top == -math.inf:
        return top
    return top + math.log1p(math.exp(min(one, other) - top))
