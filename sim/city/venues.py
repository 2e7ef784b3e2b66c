"""Venues: where people work, learn, shop, eat and wait for the bus; and what lies near a node."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.spatial import KDTree

from sim.city.streets import Streets
from sim.city.types import F64, I8, I32, I64

KINDS: Final = ("work", "school", "shop", "restaurant", "stop")
WORK, SCHOOL, SHOP, RESTAURANT, STOP = range(5)
PER_CAMERA: Final = {WORK: 0.30, SCHOOL: 0.012, SHOP: 0.22, RESTAURANT: 0.22}
STOP_EVERY_M: Final = 340.0
CLOSE: Final = 24
"""How many shops and restaurants somebody chooses among, the nearest ones."""
CHOICES: Final = 400
"""Workplaces of a district from which jobs are drawn, the nearest to its middle."""


@dataclass(frozen=True, slots=True)
class Venues:
    """v venues, (v,) each, and stops in rows and columns, which the bus lines follow.

    `node` where their door is; `stop_grid` (rows, columns) venue at each place of the bus network;
    `stop_row`, `stop_column` (v,) -1 for others; `close_shops`, `close_restaurants` (n, CLOSE)
    venues nearest to each node; `close_stop`, `close_school` (n,).
    """

    kind: I8
    node: I32
    stop_grid: I32
    stop_row: I32
    stop_column: I32
    close_shops: I32
    close_restaurants: I32
    close_stop: I32
    close_school: I32

    def __len__(self) -> int:
        """Return v."""
        return len(self.kind)

    def of_kind(self, kind: int) -> I64:
        """Return the venues of one kind."""
        return np.flatnonzero(self.kind == kind)


def open_venues(rng: np.random.Generator, streets: Streets, cameras: int) -> Venues:
    """Place venues on the streets, busier towards the middle, and a stop every 340 m."""
    kinds, nodes = [], []
    weight = _busy(streets.places_m)
    for one, share in PER_CAMERA.items():
        count = max(2, round(share * cameras))
        kinds.append(np.full(count, one, np.int8))
        nodes.append(rng.choice(len(streets), count, p=weight).astype(np.int32))
    grid_nodes = _stops(streets)
    first_stop = sum(len(some) for some in kinds)
    kinds.append(np.full(grid_nodes.size, STOP, np.int8))
    nodes.append(grid_nodes.ravel().astype(np.int32))
    kind: I8 = np.concatenate(kinds)
    node: I32 = np.concatenate(nodes)
    grid: I32 = (first_stop + np.arange(grid_nodes.size)).reshape(grid_nodes.shape).astype(np.int32)
    row, column = (np.full(len(kind), -1, np.int32) for _ in range(2))
    row[first_stop:] = np.repeat(np.arange(len(grid)), len(grid.T))
    column[first_stop:] = np.tile(np.arange(len(grid.T)), len(grid))
    near = {k: _nearest(streets, node, np.flatnonzero(kind == k)) for k in range(1, 5)}
    return Venues(
        kind, node, grid, row, column, near[SHOP], near[RESTAURANT], near[STOP][:, 0],
        near[SCHOOL][:, 0],
    )  # fmt: skip


def _busy(places: F64) -> F64:
    middle = places.mean(axis=0)
    far = np.hypot(*(places - middle).T) / np.ptp(places, axis=0).max()
    weight = 0.4 + np.exp(-((far / 0.35) ** 2))
    return np.asarray(weight / weight.sum())


def _stops(streets: Streets) -> I64:
    """Return the node of each stop, in rows and columns."""
    low, high = streets.places_m.min(axis=0), streets.places_m.max(axis=0)
    counts = np.maximum(1, np.round((high - low) / STOP_EVERY_M).astype(int))
    xs, ys = (low[k] + (np.arange(counts[k]) + 0.5) * (high - low)[k] / counts[k] for k in (0, 1))
    wanted = np.stack(np.meshgrid(xs, ys), -1)
    return np.asarray(KDTree(streets.places_m).query(wanted)[1], np.int64)


def _nearest(streets: Streets, node: I32, some: I64) -> I32:
    count = min(CLOSE, len(some))
    found = KDTree(streets.places_m[node[some]]).query(streets.places_m, k=count)[1]
    close = some[np.asarray(found).reshape(len(streets), count)]
    return np.asarray(np.resize(close.T, (CLOSE, len(streets))).T, np.int32)
