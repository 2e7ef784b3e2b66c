"""How long people take from camera to camera: the camera graph, and how fast people move.

Cameras are places; a link joins two that follow each other on a street. Near pairs (up to
`NEAR_S` on foot) have their shortest path (Dijkstra, 1959) and the number of cameras passed on it;
farther pairs are estimated by the straight line times `DETOUR`. Nothing here is (cameras, cameras).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import KDTree

from controller.domain.types import F64, CameraSite

I64 = NDArray[np.int64]
WALK_M_S: Final = 1.35
DETOUR: Final = 1.3
NEAR_S: Final = 900.0
"""Pairs within this walk are kept one by one."""
MAX_NEAR: Final = 192
"""Near cameras kept of one camera; beyond it the farthest are estimated like far ones."""
NEIGHBOURS: Final = 12
ROWS_AT_ONCE: Final = 512
_HOP: Final = 1e-6


@dataclass(frozen=True, slots=True)
class TravelGraph:
    """c cameras, and the near pairs of them in order of `keys` (from * c + to).

    `places_m` (c, 2), `indptr` (c + 1,) where each camera's pairs begin, `walk_s` (k,) seconds on
    foot, `between` (k,) cameras passed on the way, `onward` (c,) near cameras, for the share of
    each; `radius_m` is how far from its place a camera sees faces.
    """

    camera_ids: tuple[str, ...]
    agent_ids: tuple[str, ...]
    places_m: F64
    keys: I64
    indptr: I64
    walk_s: F64
    between: NDArray[np.int16]
    radius_m: float

    def __len__(self) -> int:
        """Return c."""
        return len(self.camera_ids)

    def near(self, cameras: I64, within_s: float = NEAR_S) -> tuple[I64, I64]:
        """Return the near pairs of some cameras: (m,) places in `cameras`, (m,) the other ends."""
        counts = self.indptr[cameras + 1] - self.indptr[cameras]
        place = np.repeat(np.arange(len(cameras)), counts)
        first = np.repeat(self.indptr[cameras] - np.cumsum(counts) + counts, counts)
        pair = first + np.arange(len(place))
        close = self.walk_s[pair] <= within_s
        return place[close], self.keys[pair[close]] % len(self)

    def way(self, start: I64, goal: I64) -> tuple[F64, I64]:
        """Return (n,) seconds on foot and (n,) cameras between, -1 where the pair is not near."""
        straight_m = np.hypot(*(self.places_m[start] - self.places_m[goal]).T)
        seconds = np.maximum(0.0, straight_m - 2 * self.radius_m) * DETOUR / WALK_M_S
        between = np.where(start == goal, 0, -1)
        wanted = start * len(self) + goal
        at = np.minimum(np.searchsorted(self.keys, wanted), max(len(self.keys) - 1, 0))
        if len(self.keys):
            known = (self.keys[at] == wanted) & (start != goal)
            seconds = np.where(known, self.walk_s[at], seconds)
            between = np.where(known, self.between[at], between)
        return seconds, between

    def straight_m(self, start: I64, goal: I64) -> F64:
        """Return (n,) metres between the edges of what two cameras see."""
        between_m = np.hypot(*(self.places_m[start] - self.places_m[goal]).T)
        return np.asarray(np.maximum(0.0, between_m - 2 * self.radius_m))


def graph_of_sites(sites: Mapping[str, CameraSite], *, radius_m: float = 15.0) -> TravelGraph:
    """Return the graph of cameras of which only the places are known.

    Two of them are taken to follow each other if no third lies between them (relative
    neighbourhood graph, Toussaint, 1980), among the `NEIGHBOURS` nearest of each.
    """
    ordered = [sites[name] for name in sorted(sites)]
    places = np.array([(s.x_m, s.y_m) for s in ordered], np.float64).reshape(-1, 2)
    start, goal = _relative_neighbours(places)
    straight_m = np.hypot(*(places[start] - places[goal]).T)
    seconds = np.maximum(1.0, straight_m - 2 * radius_m) * DETOUR / WALK_M_S
    names = tuple(s.camera_id for s in ordered)
    agents = tuple(s.agent_id for s in ordered)
    return graph_of_links(names, agents, places, (start, goal, seconds), radius_m=radius_m)


def graph_of_links(
    camera_ids: Iterable[str], agent_ids: Iterable[str], places_m: F64,
    links: tuple[I64, I64, F64], *, radius_m: float = 15.0,
) -> TravelGraph:  # fmt: skip
    """Return the graph of known links: (m,) from, (m,) to, (m,) seconds on foot; both ways."""
    names = tuple(camera_ids)
    start, goal, seconds = links
    count = len(names)
    # The fraction counts links, so one search gives the time and the cameras on the way.
    weight = np.maximum(1.0, np.round(seconds * 100.0)) + _HOP
    order = np.lexsort((weight, goal, start))
    pair = start[order].astype(np.int64) * count + goal[order]
    _, first = np.unique(pair, return_index=True)
    kept = order[first]
    streets = csr_array((weight[kept], (start[kept], goal[kept])), shape=(count, count))
    keys, walk_s, between = _near_pairs(streets)
    indptr = np.searchsorted(keys, np.arange(count + 1) * count)
    return TravelGraph(
        names, tuple(agent_ids), np.asarray(places_m, np.float64).reshape(-1, 2), keys,
        np.asarray(indptr, np.int64), walk_s, between, radius_m,
    )  # fmt: skip


def _near_pairs(streets: "csr_array") -> tuple[I64, F64, NDArray[np.int16]]:
    count = streets.shape[0]
    keys, lengths = [np.empty(0, np.int64)], [np.empty(0)]
    for first in range(0, count, ROWS_AT_ONCE):
        rows = np.arange(first, min(first + ROWS_AT_ONCE, count))
        reach = dijkstra(streets, directed=False, indices=rows, limit=NEAR_S * 100.0)
        reach[np.arange(len(rows)), rows] = np.inf
        if count > MAX_NEAR:
            edge = np.partition(reach, MAX_NEAR, axis=1)[:, MAX_NEAR : MAX_NEAR + 1]
            reach[reach >= edge] = np.inf
        row, goal = np.nonzero(np.isfinite(reach))
        keys.append(rows[row].astype(np.int64) * count + goal)
        lengths.append(reach[row, goal])
    length = np.concatenate(lengths)
    whole = np.asarray(np.floor(length), np.float64)
    between = np.asarray(np.round((length - whole) / _HOP) - 1, np.int16)
    return np.concatenate(keys), whole / 100.0, between


def _relative_neighbours(places: F64) -> tuple[I64, I64]:
    count = len(places)
    if count < 2:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    size = min(NEIGHBOURS, count - 1)
    found = KDTree(places).query(places, k=size + 1)
    far_m, others = np.asarray(found[0])[:, 1:], np.asarray(found[1], np.int64)[:, 1:]
    start = np.repeat(np.arange(count), size)
    goal, length = others.ravel(), far_m.ravel()
    # A third one lies between if it is nearer to both ends than they are to each other.
    third = others[start]
    to_goal = np.linalg.norm(places[third] - places[goal][:, None], axis=2)
    blocked = ((far_m[start] < length[:, None]) & (to_goal < length[:, None])).any(axis=1)
    return start[~blocked], goal[~blocked]
