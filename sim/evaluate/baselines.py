"""What simpler rules would accept from the same candidates."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from controller.domain.candidates import CandidateTable
from controller.domain.travel import TravelGraph

I64 = NDArray[np.int64]
FASTEST_PACE: Final = 1.5
"""The greedy rule's fastest walker, against the camera graph's walking time."""


def threshold_only(table: CandidateTable) -> I64:
    """Return every row that passed the search."""
    return np.arange(len(table))


def best_threshold(table: CandidateTable, mine: NDArray[np.bool_], total: int) -> float:
    """Return the best IDF1 that any single threshold could reach, chosen knowing the truth.

    `mine` (n,) which rows are the subject's, `total` how many sightings the subject has.
    """
    order = np.argsort(-table.llr, kind="stable")
    right = np.cumsum(mine[order])
    taken = np.arange(1, len(table) + 1)
    return float((2 * right / (taken + total)).max(initial=0.0))


def greedy_nearest(table: CandidateTable, graph: TravelGraph) -> I64:
    """Return the rows reached from the strongest by going on to the nearest in time, both ways.

    The next is the first candidate that somebody could walk to in time, whatever its face says
    beyond having passed the search.
    """
    if not len(table):
        return np.empty(0, np.int64)
    place = {name: i for i, name in enumerate(graph.camera_ids)}
    camera = np.array([place[name] for name in table.cameras], np.int64)[table.camera]
    order = np.lexsort((table.end_us, table.start_us))
    seed = int(np.flatnonzero(order == table.llr.argmax())[0])
    start, end = table.start_us[order] / 1e6, table.end_us[order] / 1e6
    chosen, last = [seed], seed
    for k in range(seed + 1, len(order)):
        if _walkable(graph, camera[order], last, k, start[k] - end[last]):
            chosen.append(k)
            last = k
    last = seed
    for k in range(seed - 1, -1, -1):
        if _walkable(graph, camera[order], k, last, start[last] - end[k]):
            chosen.append(k)
            last = k
    return np.sort(order[np.array(chosen)])


def _walkable(graph: TravelGraph, camera: I64, one: int, other: int, gap_s: float) -> bool:
    walk_s = float(graph.way(camera[one : one + 1], camera[other : other + 1])[0][0])
    return gap_s >= 0 and gap_s * FASTEST_PACE >= walk_s
