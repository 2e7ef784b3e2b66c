"""From all candidates to the few that can matter: growth outward from what is strong.

Seeds are anchors, confirmed sightings and candidates that stand nearly alone. From them the best
chain through every neighbour in space and time is relaxed, round by round, in both directions; who
cannot be in a chain worth `floor` is never looked at. The dense graph is never built.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from controller.domain.trace_moves import LONGEST_S, SOON_S, Moves
from controller.domain.trace_nodes import ANCHOR, OPEN, Nodes
from controller.domain.travel import NEAR_S
from controller.domain.types import F64

I64 = NDArray[np.int64]
MAX_NODES: Final = 10_000
"""Nodes kept; beyond it those whose best chain is worth least are left out."""
MAX_SEEDS: Final = 4_000
MAX_ROUNDS: Final = 12
MAX_PAIRS: Final = 1_500_000
"""Pairs looked at in one round; beyond it the weaker half of the frontier waits for no one."""
MAX_BEFORE: Final = 96
"""Earlier nodes that one node keeps edges to: those of the greatest gain and evidence."""
REACH_S: Final = 1200.0
GROWTH_WALK_S: Final = 500.0
"""How far in time, and in time on foot, a candidate draws in its neighbours."""
_PER_CAMERA: Final = 1e8


@dataclass(frozen=True, slots=True)
class Edges:
    """m steps i -> j between n nodes, sorted by j then i: (m,) each, `indptr` (n + 1,) by j."""

    i: I64
    j: I64
    gain: F64
    indptr: I64


def grown(nodes: Nodes, moves: Moves, entry_cost: F64, floor: float) -> I64:
    """Return the nodes that can be in a chain worth `floor` or more, at most `MAX_NODES`.

    `entry_cost` (n,) is the log odds against each as the first of a chain.
    """
    alone = nodes.llr - entry_cost
    forward, backward = alone.copy(), nodes.llr.copy()
    fixed = nodes.kind != OPEN
    seeds = np.flatnonzero((alone >= floor) | fixed)
    frontier = _best(seeds, np.where(fixed, np.inf, alone), MAX_SEEDS)
    index = _Index(nodes, moves)
    for _ in range(MAX_ROUNDS):
        if not len(frontier):
            break
        early, late = index.around(frontier)
        gain = moves.gains(nodes, early, late, exactly=False)
        before = forward.copy(), backward.copy()
        np.maximum.at(forward, late, before[0][early] + gain + nodes.llr[late])
        np.maximum.at(backward, early, before[1][late] + gain + nodes.llr[early])
        better = (forward > before[0] + 0.1) | (backward > before[1] + 0.1)
        through = forward + backward - nodes.llr
        frontier = _best(np.flatnonzero(better & (through >= floor)), through, MAX_SEEDS)
    through = np.where(fixed, np.inf, forward + backward - nodes.llr)
    return _best(np.flatnonzero(through >= floor), through, MAX_NODES)


def edges_of(nodes: Nodes, moves: Moves) -> Edges:
    """Return the steps between kept nodes: all within half an hour, near ones within 18 hours."""
    i, j = _soon(nodes)
    index = _Index(nodes, moves)
    a, b = index.near_later(SOON_S, LONGEST_S)
    gain = np.concatenate([moves.gains(nodes, i, j), moves.gains(nodes, a, b, lost=False)])
    i, j = np.concatenate([i, a]), np.concatenate([j, b])
    kept = np.isfinite(gain)
    i, j, gain = i[kept], j[kept], gain[kept]
    order = np.lexsort((-gain - nodes.llr[i], j))
    i, j, gain = i[order], j[order], gain[order]
    first = np.searchsorted(j, j)
    few = np.arange(len(j)) - first < MAX_BEFORE
    i, j, gain = i[few], j[few], gain[few]
    order = np.lexsort((i, j))
    indptr = np.searchsorted(j[order], np.arange(len(nodes) + 1))
    return Edges(i[order], j[order], gain[order], np.asarray(indptr, np.int64))


class _Index:
    """Finds nodes by camera and time."""

    def __init__(self, nodes: Nodes, moves: Moves) -> None:
        self._nodes, self._graph = nodes, moves.graph
        # Anchors have no camera: they are few and looked at one by one.
        self._anchors = np.flatnonzero(nodes.kind == ANCHOR)
        seen = np.flatnonzero(nodes.kind != ANCHOR)
        keys = nodes.camera[seen] * _PER_CAMERA + nodes.start_s[seen]
        order = np.argsort(keys, kind="stable")
        self._order, self._keys = seen[order], keys[order]

    def around(self, frontier: I64) -> tuple[I64, I64]:
        """Return pairs (earlier, later) of frontier nodes and their neighbours of any rank."""
        seen = frontier[self._nodes.kind[frontier] != ANCHOR]
        a, b = self._near(seen, -REACH_S, REACH_S, GROWTH_WALK_S)
        c, d = self._of_anchors()
        one, other = np.concatenate([a, c]), np.concatenate([b, d])
        apart = one != other
        early, late = np.minimum(one, other)[apart], np.maximum(one, other)[apart]
        pair = np.unique(early * len(self._nodes) + late)
        return pair // len(self._nodes), pair % len(self._nodes)

    def near_later(self, least_s: float, most_s: float) -> tuple[I64, I64]:
        """Return pairs of near cameras whose gap lies between; every node with those after it."""
        seen = np.flatnonzero(self._nodes.kind != ANCHOR)
        a, b = self._near(seen, 0.0, most_s, NEAR_S)
        c, d = self._of_anchors()
        one, other = np.concatenate([a, c]), np.concatenate([b, d])
        i, j = np.minimum(one, other), np.maximum(one, other)
        gap = self._nodes.start_s[j] - self._nodes.end_s[i]
        kept = (gap > least_s) & (gap <= most_s) & (i != j)
        pair = np.unique(i[kept] * len(self._nodes) + j[kept])
        return pair // len(self._nodes), pair % len(self._nodes)

    def _near(self, chosen: I64, from_s: float, until_s: float, within_s: float) -> tuple[I64, I64]:
        nodes = self._nodes
        cameras = nodes.camera[chosen]
        place, other = self._graph.near(cameras, within_s)
        place = np.concatenate([place, np.arange(len(chosen))])
        other = np.concatenate([other, cameras])
        base = other * _PER_CAMERA
        low = np.searchsorted(self._keys, base + nodes.start_s[chosen[place]] + from_s)
        high = np.searchsorted(self._keys, base + nodes.end_s[chosen[place]] + until_s, "right")
        counts = np.maximum(high - low, 0)
        # The chosen come best first, so what is over the limit is what matters least.
        counts[np.cumsum(counts) > MAX_PAIRS] = 0
        one = np.repeat(chosen[place], counts)
        first = np.repeat(low - np.cumsum(counts) + counts, counts)
        return one, self._order[first + np.arange(len(one))]

    def _of_anchors(self) -> tuple[I64, I64]:
        nodes, found = self._nodes, [(np.empty(0, np.int64), np.empty(0, np.int64))]
        for anchor in self._anchors:
            close = np.abs(nodes.start_s - nodes.start_s[anchor]) <= SOON_S + nodes.sigma_s[anchor]
            rows = np.flatnonzero(close)
            found.append((np.full(len(rows), anchor), rows))
        return (
            np.concatenate([pair[0] for pair in found]),
            np.concatenate([pair[1] for pair in found]),
        )


def _soon(nodes: Nodes) -> tuple[I64, I64]:
    # Ends are not sorted: from a node's start to half an hour after its end, all that start.
    n = len(nodes)
    last = np.searchsorted(nodes.start_s, nodes.end_s + SOON_S, "right")
    counts = np.maximum(last - np.arange(n) - 1, 0)
    i = np.repeat(np.arange(n), counts)
    offset = np.arange(len(i)) - np.repeat(np.cumsum(counts) - counts, counts)
    return i, i + 1 + offset


def _best(rows: I64, score: F64, most: int) -> I64:
    order = np.argsort(-score[rows], kind="stable")
    return np.asarray(rows[order[:most]], np.int64)
