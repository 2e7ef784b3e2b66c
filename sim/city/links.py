"""The network between cameras: who walks on from one meets which next, and where the buses go."""

from typing import Final

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from sim.city.cameras import AT_STOP, Cameras
from sim.city.streets import Streets
from sim.city.types import F64, I64, Links
from sim.city.venues import Venues
from sim.city.walking import HEADWAY_S, HOP_S

WALK_M_S: Final = 1.35
REACH_M: Final = 900.0
"""Cameras farther from each other have others between, or no street."""
SAME_PLACE_M: Final = 12.0
ROWS_AT_ONCE: Final = 256


def links_of(streets: Streets, venues: Venues, cameras: Cameras) -> Links:
    """Return the network of a city's cameras."""
    node = cameras.node
    places = np.unique(node)
    start, goal, metres = _between(streets, places)
    a, b, walk_m = _spread(node, places, start, goal, metres)
    bus_start, bus_goal, ride_s = _bus(venues, cameras)
    return Links(a, b, np.maximum(walk_m / WALK_M_S, 1.0), bus_start, bus_goal, ride_s, HEADWAY_S)


def _between(streets: Streets, places: I64) -> tuple[I64, I64, F64]:
    """Return ways from camera place to camera place (positions in `places`) with none between.

    Camera places have no way out of themselves; each has a second node that only has ways out.
    """
    count, at = len(streets), np.full(len(streets), -1)
    at[places] = np.arange(len(places))
    start, slot = np.nonzero(streets.beside >= 0)
    goal, length = streets.beside[start, slot], streets.length_m[start, slot]
    source = np.where(at[start] >= 0, count + at[start], start)
    total = count + len(places)
    graph = csr_array((length, (source, goal)), shape=(total, total))
    found: list[tuple[I64, I64, F64]] = []
    for first in range(0, len(places), ROWS_AT_ONCE):
        some = np.arange(first, min(first + ROWS_AT_ONCE, len(places)))
        far = dijkstra(graph, indices=count + some, limit=REACH_M)[:, places]
        row, there = np.nonzero(np.isfinite(far))
        other = some[row] != there
        found.append((some[row][other], there[other], far[row, there][other]))
    a, b, metres = (np.concatenate(column) for column in zip(*found, strict=True))
    return a, b, metres


def _spread(node: I64, places: I64, start: I64, goal: I64, metres: F64) -> tuple[I64, I64, F64]:
    """Return the links of cameras from those of places; cameras of one place are linked too."""
    same = np.arange(len(places))
    start, goal = np.concatenate([start, same]), np.concatenate([goal, same])
    metres = np.concatenate([metres, np.full(len(same), SAME_PLACE_M)])
    order = np.argsort(node, kind="stable")
    begin = np.searchsorted(node[order], places)
    many = np.searchsorted(node[order], places, "right") - begin
    pairs = many[start] * many[goal]
    link = np.repeat(np.arange(len(start)), pairs)
    k = np.arange(len(link)) - np.repeat(np.cumsum(pairs) - pairs, pairs)
    a = order[begin[start[link]] + k // many[goal[link]]]
    b = order[begin[goal[link]] + k % many[goal[link]]]
    kept = a != b
    return a[kept], b[kept], metres[link][kept]


def _bus(venues: Venues, cameras: Cameras) -> tuple[I64, I64, F64]:
    stops = np.flatnonzero(cameras.sites.kind == AT_STOP)
    row = venues.stop_row[cameras.sites.venue[stops]]
    column = venues.stop_column[cameras.sites.venue[stops]]
    same = (row[:, None] == row) | (column[:, None] == column)
    np.fill_diagonal(same, False)
    a, b = np.nonzero(same)
    hops = np.abs(row[a] - row[b]) + np.abs(column[a] - column[b])
    return stops[a], stops[b], hops * HOP_S
