"""People come back to their places: home, work, the shop around the corner.

Found again after having been lost, a person is as likely near a place of the firm part of the
trace as anywhere. Only visits at another time of the trace count, so that no sighting speaks for
itself.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from controller.domain.trace_nodes import Nodes
from controller.domain.travel import TravelGraph
from controller.domain.types import F64

I64 = NDArray[np.int64]
APART_S: Final = 6 * 3600.0
DAY_S: Final = 86_400.0
AROUND_S: Final = 90.0
SHARE: Final = 0.6
DOUBT: Final = 4.0
"""So many visits are as much as no habit at all."""
MAX_VISITS: Final = 256


def familiar(nodes: Nodes, firm: I64, graph: TravelGraph) -> F64:
    """Return each node's `log_found` (n,) with the habit in it; empty if there is none to see.

    `firm` are the nodes that nobody doubts; more than `MAX_VISITS` of them are thinned out.
    """
    visits = _visits(nodes, firm)
    count = np.zeros(len(nodes))
    near = np.zeros(len(nodes))
    if not len(visits) or np.ptp(nodes.start_s) <= APART_S:
        return np.empty(0)
    places, of_visit = np.unique(nodes.camera[visits], return_inverse=True)
    cameras, of_node = np.unique(np.maximum(nodes.camera, 0), return_inverse=True)
    share = _around(graph, places, cameras)
    for visit, place in zip(visits, of_visit, strict=True):
        apart = np.abs(nodes.start_s - nodes.start_s[visit]) > APART_S
        count += apart
        near += apart * share[place][of_node]
    habit = near / np.maximum(count, 1) / DAY_S
    part = np.where(nodes.camera >= 0, SHARE * count / (count + DOUBT), 0.0)
    return np.asarray(np.log((1 - part) * np.exp(nodes.log_found) + part * habit))


def _visits(nodes: Nodes, firm: I64) -> I64:
    """Return one node of each camera's stretch of some hours."""
    firm = firm[nodes.camera[firm] >= 0]
    spell = nodes.camera[firm] * 10_000 + (nodes.start_s[firm] // APART_S).astype(np.int64)
    _, first = np.unique(spell, return_index=True)
    every = max(1, -(-len(first) // MAX_VISITS))
    return np.asarray(firm[np.sort(first)][::every], np.int64)


def _around(graph: TravelGraph, places: I64, cameras: I64) -> F64:
    """Return (p, c) how a visit of a place is spread over the cameras around it."""
    shares = np.zeros((len(places), len(cameras)))
    for k, place in enumerate(places):
        _, near = graph.near(np.array([place]), 4 * AROUND_S)
        near = np.concatenate([[place], near]).astype(np.int64)
        walk_s = graph.way(np.full(len(near), place), near)[0]
        weight = np.exp(-walk_s / AROUND_S)
        at = np.minimum(np.searchsorted(cameras, near), len(cameras) - 1)
        known = cameras[at] == near
        shares[k, at[known]] = weight[known] / weight.sum()
    return shares
