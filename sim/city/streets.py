"""Streets: a jittered grid with blocks of many lengths and missing links, and ways over it.

Nodes are crossings and, on some links, a spot between them where a camera may stand. Ways are
shortest paths (Dijkstra, 1959), kept as the next step from every node to every goal in reach.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, dijkstra

from sim.city.types import F64, I8, I32, I64

CROSSINGS_PER_CAMERA: Final = 0.78
"""156 crossings and 200 cameras on a square kilometre, as in a dense Korean city."""
SPOTS_PER_CAMERA: Final = 0.3
BLOCK_M: Final = 80.0
MISSING: Final = 0.12
WALK_LIMIT_M: Final = 2200.0
"""Farther goals are not walked to."""
SLOTS: Final = 4
"""Most links of one node: a crossing of a grid has four."""
ROWS_AT_ONCE: Final = 256


@dataclass(frozen=True, slots=True)
class Streets:
    """n nodes. `places_m` (n, 2), `beside` (n, SLOTS) next nodes or -1, `length_m` of those links.

    `back` (n, SLOTS) the slot of the same link seen from its other end; `step` (n, n) int8:
    `step[goal, node]` is the slot to take from `node` towards `goal`, -1 if there or too far.
    """

    places_m: F64
    beside: I32
    length_m: F64
    back: I8
    step: I8

    def __len__(self) -> int:
        """Return n."""
        return len(self.places_m)


def lay_streets(rng: np.random.Generator, cameras: int) -> Streets:
    """Return streets for a city of so many cameras, all of them connected."""
    side = max(4, int(np.ceil(np.sqrt(CROSSINGS_PER_CAMERA * cameras))))
    places, links = _crossings(rng, side)
    places, links = _with_spots(rng, places, links, round(SPOTS_PER_CAMERA * cameras))
    places, links = _connected(places, links)
    beside, length, back = _slots(places, links)
    return Streets(places, beside, length, back, _steps(places, links, beside))


def _crossings(rng: np.random.Generator, side: int) -> tuple[F64, I64]:
    columns, rows = (
        np.cumsum(BLOCK_M * rng.lognormal(-0.04, 0.28, side)) for _ in range(2)
    )  # fmt: skip
    grid = np.stack(np.meshgrid(columns, rows), -1).reshape(-1, 2)
    places = grid + rng.normal(0, 0.08 * BLOCK_M, grid.shape)
    number = np.arange(side * side).reshape(side, side)
    across = np.column_stack([number[:, :-1].ravel(), number[:, 1:].ravel()])
    along = np.column_stack([number[:-1].ravel(), number[1:].ravel()])
    links = np.concatenate([across, along])
    return places, links[rng.random(len(links)) >= MISSING]


def _with_spots(rng: np.random.Generator, places: F64, links: I64, count: int) -> tuple[F64, I64]:
    split = rng.choice(len(links), min(count, len(links)), replace=False)
    share = rng.uniform(0.35, 0.65, (len(split), 1))
    start, goal = links[split].T
    spots = places[start] + share * (places[goal] - places[start])
    names = len(places) + np.arange(len(split))
    kept = np.delete(links, split, axis=0)
    halves = [np.column_stack([start, names]), np.column_stack([names, goal])]
    return np.concatenate([places, spots]), np.concatenate([kept, *halves])


def _connected(places: F64, links: I64) -> tuple[F64, I64]:
    graph = csr_array((np.ones(len(links)), tuple(links.T)), shape=(len(places),) * 2)
    part = connected_components(graph, directed=False)[1]
    kept = part == np.bincount(part).argmax()
    new = np.cumsum(kept) - 1
    return places[kept], new[links[kept[links].all(axis=1)]]


def _slots(places: F64, links: I64) -> tuple[I32, F64, I8]:
    count = len(places)
    start, goal = np.concatenate([links, links[:, ::-1]]).T
    order = np.lexsort((goal, start))
    start, goal = start[order], goal[order]
    slot = np.arange(len(start)) - np.searchsorted(start, start)
    beside = np.full((count, SLOTS), -1, np.int32)
    beside[start, slot] = goal
    length = np.full((count, SLOTS), np.inf)
    length[start, slot] = np.hypot(*(places[start] - places[goal]).T)
    back = np.full((count, SLOTS), -1, np.int8)
    back[start, slot] = (beside[goal] == start[:, None]).argmax(axis=1)
    return beside, length, back


def _steps(places: F64, links: I64, beside: I32) -> I8:
    count = len(places)
    length = np.hypot(*(places[links[:, 0]] - places[links[:, 1]]).T)
    graph = csr_array((length, tuple(links.T)), shape=(count, count))
    steps = np.full((count, count), -1, np.int8)
    for first in range(0, count, ROWS_AT_ONCE):
        goals = np.arange(first, min(first + ROWS_AT_ONCE, count))
        _, before = dijkstra(
            graph, directed=False, indices=goals, return_predecessors=True, limit=WALK_LIMIT_M
        )
        steps[goals] = _as_slots(before, beside)
    return steps


def _as_slots(before: NDArray[np.integer], beside: I32) -> I8:
    out = np.full(before.shape, -1, np.int8)
    for slot in range(SLOTS):
        out[(before == beside[:, slot]) & (before >= 0)] = slot
    return out
