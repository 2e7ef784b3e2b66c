"""What one step of a trace is worth: where and when a person is seen next, against strangers.

The subject's next sighting after one is drawn from a mixture: the same camera again (a broken
tracklet, a stay in view); another camera after a walk or a ride; a stay out of sight (home, work,
a shop) that ends near where it began; lost, and found anywhere. A sighting that is not the
subject's is one of the strangers that the camera sees all day. The gain of a step is the log ratio
of the two densities, as in multi-hypothesis tracking (Reid, 1979); its mean over strangers is 1,
so that many look-alikes cannot pay for a chain by their number. Cameras passed unseen cost
`log(miss)` each, those that were down nothing. All times in seconds.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve
from scipy.special import log_expit, logsumexp

from controller.domain.presence import OnTheWay, Outages
from controller.domain.trace_nodes import ANCHOR, Nodes
from controller.domain.travel import DETOUR, WALK_M_S, TravelGraph
from controller.domain.travel_speeds import Speeds
from controller.domain.types import F64

Bools = NDArray[np.bool_]
I64 = NDArray[np.int64]
SOON_S: Final = 1800.0
"""Up to here steps to anywhere are edges; beyond it `lost` steps are taken together."""
LONGEST_S: Final = 18 * 3600.0
"""The longest stay out of sight after which the neighbourhood still says something."""
OVERLAP_SLACK_S: Final = 1.5
IDLE, SLACK_S = 3.0, 300.0
"""Who takes longer than so many times the walk, and so long, was not just walking."""
LOG_ROOT_2PI: Final = 0.5 * float(np.log(2 * np.pi))


@dataclass(frozen=True, slots=True)
class MoveSettings:
    """Shares of what may come next (they sum to 1), and their scales.

    `miss` is the chance that a camera that is passed brings no candidate.
    """

    speeds: Speeds = field(default_factory=Speeds)
    again: float = 0.45
    move: float = 0.31
    dwell: float = 0.14
    lost: float = 0.10
    outings_per_day: float = 4.0
    miss: float = 0.4
    soon_s: float = 20.0
    later_s: float = 400.0
    soon_share: float = 0.75
    floor_s: float = 6.0
    dwell_walk_s: float = 90.0
    dwell_from_s: float = 180.0
    anchor_share: float = 0.1
    ride_wait_s: float = 120.0
    ride_m: float = 3000.0
    mask_kept: float = 0.95
    mask_kept_later: float = 0.7
    mask_kept_s: float = 1800.0


class Moves:
    """The gain of steps between nodes, for one graph, one set of outages and one setting."""

    def __init__(self, graph: TravelGraph, outages: Outages, settings: MoveSettings) -> None:
        self.graph, self.outages, self.settings = graph, outages, settings
        self._on_the_way = OnTheWay(graph, outages)
        hops = np.log(settings.miss) * graph.between.astype(np.float64)
        near = -graph.walk_s / settings.dwell_walk_s
        self._log_onward = np.log(_sums(np.exp(hops), graph.indptr).clip(1e-12))
        # The camera itself is one of the places where a stay ends.
        self._log_around = np.log(_sums(np.exp(near), graph.indptr) + 1.0)
        self._log_ride = np.log(_around(graph.places_m, settings.ride_m))
        # Somewhere, some time: as often as a person comes out and is seen in a day.
        self._lost = float(np.log(settings.lost * settings.outings_per_day))
        self._log_span = float(np.log1p(LONGEST_S / settings.dwell_from_s))

    def gains(
        self, nodes: Nodes, i: I64, j: I64, *, lost: bool = True, exactly: bool = True
    ) -> F64:
        """Return (m,) gains of the steps i -> j; -inf where nobody can make it.

        Without `lost` the share of being lost is left out (the caller adds it); unless `exactly`,
        cameras that were down count as if they had been up.
        """
        gap = nodes.start_s[j] - nodes.end_s[i]
        sigma = np.hypot(nodes.sigma_s[i], nodes.sigma_s[j])
        anchored = (nodes.kind[i] == ANCHOR) | (nodes.kind[j] == ANCHOR)
        same = (nodes.camera[i] == nodes.camera[j]) & ~anchored
        walk_s, between = self._ways(nodes, i, j)
        apart_m = _apart_m(nodes, i, j)
        # Cameras that look at one place may both see a person at once.
        touching = (apart_m <= 0) & ~same & ~anchored
        possible = self._possible(nodes, i, j, gap, apart_m, same) | touching
        since = np.maximum(gap, 0.0)
        gap = np.where(touching, since, gap)
        if len(self.outages) and exactly:
            between = self._up_between(nodes, i, j, between, walk_s)
        parts: list[F64] = [
            np.where(same, self._again(gap), -np.inf),
            self._move(nodes.camera[i], between, walk_s, gap, sigma, same | anchored),
            self._ride(nodes.camera[i], walk_s, gap, sigma, same | anchored),
            self._dwell(nodes.camera[i], walk_s, since, anchored),
        ]
        if lost:
            parts.append(self._lost + nodes.log_found[j])
        total = logsumexp(np.stack(parts), axis=0) - self._log_strangers(nodes, j)
        total += np.where(anchored, 0.0, self._mask(nodes.masked[i] == nodes.masked[j], since))
        return np.asarray(np.where(possible, total, -np.inf))

    def lost_gains(self, nodes: Nodes) -> F64:
        """Return (n,) the gain of being found at each node after having been lost."""
        return np.asarray(self._lost + nodes.log_found - self._log_strangers(nodes, slice(None)))

    def _log_strangers(self, nodes: Nodes, j: I64 | slice) -> F64:
        # Nobody else is at an anchor: it is as likely as its place is to be found again.
        at_anchor = float(np.log(self.settings.anchor_share / (max(len(self.graph), 1) * SOON_S)))
        hz = nodes.log_hz[j]
        return np.asarray(np.where(nodes.kind[j] == ANCHOR, np.minimum(at_anchor, hz), hz))

    def _ways(self, nodes: Nodes, i: I64, j: I64) -> tuple[F64, I64]:
        cameras = (nodes.camera[i] >= 0) & (nodes.camera[j] >= 0)
        a, b = np.maximum(nodes.camera[i], 0), np.maximum(nodes.camera[j], 0)
        walk_s, between = self.graph.way(a, b)
        straight_s = _apart_m(nodes, i, j) * DETOUR / WALK_M_S
        return np.where(cameras, walk_s, straight_s), np.where(cameras, between, -1)

    def _possible(
        self, nodes: Nodes, i: I64, j: I64, gap: F64, apart_m: F64, same: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        slack = nodes.sigma_s[i] + nodes.sigma_s[j]
        fastest = WALK_M_S * self.settings.speeds.fastest_pace
        # A day's anchor is a rough place and time; only its own uncertainty can break it.
        apart = (gap + slack >= apart_m / fastest) & (gap >= -slack)
        return np.asarray(np.where(same, gap >= -OVERLAP_SLACK_S, apart))

    def _again(self, gap: F64) -> F64:
        s = self.settings
        at = np.maximum(gap, 0.0)
        soon = np.log(s.soon_share / s.soon_s) - at / s.soon_s
        later = np.log((1 - s.soon_share) / s.later_s) - at / s.later_s
        return np.asarray(np.log(s.again) + np.logaddexp(soon, later))

    def _move(
        self, camera: I64, between: I64, walk_s: F64, gap: F64, sigma: F64,
        not_a_walk: Bools,
    ) -> F64:  # fmt: skip
        s, v = self.settings, self.settings.speeds
        near = (between >= 0) & ~not_a_walk
        share = np.log(s.miss) * np.maximum(between, 0) - self._log_onward[np.maximum(camera, 0)]
        walk = _log_time(gap, walk_s / v.walk_pace, v.walk_log_sd, sigma, s.floor_s)
        return np.asarray(
            np.where(near, np.log(s.move) + np.log1p(-v.bus_share) + share + walk, -np.inf)
        )

    def _ride(self, camera: I64, walk_s: F64, gap: F64, sigma: F64, no_ride: Bools) -> F64:
        # A passenger is not seen by the cameras on the way, and may get off anywhere.
        s, v = self.settings, self.settings.speeds
        median_s = walk_s / v.bus_pace + s.ride_wait_s
        time = _log_time(gap, median_s, v.bus_log_sd, sigma, s.ride_wait_s)
        anywhere = -self._log_ride[np.maximum(camera, 0)]
        share = np.log(s.move * v.bus_share)
        return np.asarray(np.where(no_ride, -np.inf, share + anywhere + time))

    def _dwell(self, camera: I64, walk_s: F64, since: F64, anchored: NDArray[np.bool_]) -> F64:
        s = self.settings
        around = np.where(anchored, 0.0, self._log_around[np.maximum(camera, 0)])
        place = -walk_s / s.dwell_walk_s - around
        # A stay ends some time after there was time to walk there at all, gently.
        ready = log_expit((since - 0.6 * walk_s) / 20.0)
        return np.asarray(np.log(s.dwell) + place + ready + self._log_when(since))

    def _log_when(self, since: F64) -> F64:
        # As likely in every doubling of the time.
        return np.asarray(-np.log(since + self.settings.dwell_from_s) - np.log(self._log_span))

    def _mask(self, kept: NDArray[np.bool_], since: F64) -> F64:
        # People keep their mask on or off for a while; strangers are as they are.
        s = self.settings
        soon = np.exp(-since / s.mask_kept_s)
        share = s.mask_kept_later + (s.mask_kept - s.mask_kept_later) * soon
        return np.asarray(np.log(2 * np.where(kept, share, 1 - share)))

    def _up_between(self, nodes: Nodes, i: I64, j: I64, between: I64, walk_s: F64) -> I64:
        """Return how many of the cameras between were up: the others could not see anybody."""
        gap = nodes.start_s[j] - nodes.end_s[i]
        rows = np.flatnonzero((between > 0) & (gap < IDLE * walk_s + SLACK_S))
        left = np.round(nodes.end_s[i[rows]] * 1e6).astype(np.int64) + nodes.origin_us
        came = np.round(nodes.start_s[j[rows]] * 1e6).astype(np.int64) + nodes.origin_us
        down = self._on_the_way.count(nodes.camera[i[rows]], nodes.camera[j[rows]], left, came)
        between = between.copy()
        between[rows] = np.maximum(between[rows] - down, 0)
        return between


def _around(places_m: F64, within_m: float) -> F64:
    """Return (c,) about how many places are within some metres of each, itself included."""
    # Nine cells of a grid are as large as the disc.
    cell = np.floor(places_m / (within_m * np.sqrt(np.pi) / 3)).astype(np.int64)
    if not len(cell):
        return np.empty(0)
    cell -= cell.min(axis=0)
    grid = np.zeros(cell.max(axis=0) + 1)
    np.add.at(grid, (cell[:, 0], cell[:, 1]), 1.0)
    near = convolve(grid, np.ones((3, 3)), mode="constant")
    return np.asarray(near[cell[:, 0], cell[:, 1]])


def _apart_m(nodes: Nodes, i: I64, j: I64) -> F64:
    between_m = np.hypot(*(nodes.place_m[i] - nodes.place_m[j]).T)
    return np.asarray(np.maximum(0.0, between_m - nodes.reach_m[i] - nodes.reach_m[j]))


def _log_time(gap: F64, median_s: F64, log_sd: float, sigma: F64, floor_s: float) -> F64:
    spread = np.sqrt((log_sd * median_s) ** 2 + sigma**2 + floor_s**2)
    return -0.5 * ((gap - median_s) / spread) ** 2 - np.log(spread) - LOG_ROOT_2PI


def _sums(values: F64, indptr: I64) -> F64:
    total = np.concatenate([[0.0], np.cumsum(values)])
    return np.asarray(total[indptr[1:]] - total[indptr[:-1]])
