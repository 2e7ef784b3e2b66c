"""When cameras were up and down: a camera that was down is never evidence of absence."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from controller.domain.travel import TravelGraph
from controller.domain.types import Visit

I64 = NDArray[np.int64]

MAX_OUTAGES: Final = 5_000
"""More outages than this in one case's scope: the longest are kept."""
ON_THE_WAY_S: Final = 20.0
"""A camera lies on the way if the detour over it takes no longer than this."""


@dataclass(frozen=True, slots=True)
class Outages:
    """k intervals in which a camera saw nothing, in order of camera.

    (k,) cameras of the graph, (k,) from, until µs; made by `of`.
    """

    camera: I64
    start_us: I64
    end_us: I64

    @classmethod
    def none(cls) -> "Outages":
        """Return that every camera was up."""
        empty = np.empty(0, np.int64)
        return cls(empty, empty, empty)

    @classmethod
    def of(cls, intervals: Sequence[tuple[int, int, int]]) -> "Outages":
        """Return (camera, from µs, until µs) intervals, at most `MAX_OUTAGES`, the longest."""
        longest = sorted(intervals, key=lambda one: (one[1] - one[2], one))[:MAX_OUTAGES]
        rows = np.array(sorted(longest), np.int64).reshape(-1, 3)
        return cls(rows[:, 0], rows[:, 1], rows[:, 2])

    def __len__(self) -> int:
        """Return k."""
        return len(self.camera)

    def down(self, camera: int, start_us: int, end_us: int) -> tuple[tuple[int, int], ...]:
        """Return a camera's down times inside a window, clipped to it."""
        first, until = np.searchsorted(self.camera, (camera, camera + 1))
        return tuple(
            (max(a, start_us), min(b, end_us))
            for a, b in zip(
                self.start_us[first:until].tolist(), self.end_us[first:until].tolist(), strict=True
            )
            if a < end_us and b > start_us
        )


@dataclass(frozen=True, slots=True)
class Blindness:
    """A camera that was down when the subject may have passed it; said, and never counted."""

    camera_id: str
    start_us: int
    end_us: int
    sentence: str


class OnTheWay:
    """Tells which cameras between two were down while somebody walked from one to the other."""

    def __init__(self, graph: TravelGraph, outages: Outages) -> None:
        self._graph, self._outages = graph, outages
        cameras = np.unique(outages.camera)
        place, other = graph.near(cameras)
        order = np.argsort(other, kind="stable")
        self._near_down = cameras[place[order]]
        self._first_near = np.searchsorted(other[order], np.arange(len(graph) + 1))
        self._first = np.searchsorted(outages.camera, np.arange(len(graph) + 1))

    def count(self, start: I64, goal: I64, left_us: I64, came_us: I64) -> I64:
        """Return (n,) how many cameras were down on the way, of near pairs of cameras.

        `start`, `goal` (n,) cameras; `left_us`, `came_us` (n,) when they were left and reached.
        """
        row, k = _spread(self._first_near[start], self._first_near[start + 1])
        camera = self._near_down[k]
        there = self._graph.way(start[row], camera)[0]
        back = self._graph.way(camera, goal[row])[0]
        direct = self._graph.way(start, goal)[0][row]
        on_way = (there + back <= direct + ON_THE_WAY_S) & (camera != goal[row])
        row, camera = row[on_way], camera[on_way]
        pair, k = _spread(self._first[camera], self._first[camera + 1])
        hit = self._outages.start_us[k] < came_us[row[pair]]
        hit &= self._outages.end_us[k] > left_us[row[pair]]
        found = np.unique(pair[hit])
        return np.asarray(np.bincount(row[found], minlength=len(start)), np.int64)


def _spread(first: I64, until: I64) -> tuple[I64, I64]:
    """Return the (row, number) pairs of the ranges from `first` to before `until`."""
    counts = until - first
    row = np.repeat(np.arange(len(first)), counts)
    return row, np.arange(len(row)) + np.repeat(first - np.cumsum(counts) + counts, counts)


def blindness(
    visits: Sequence[Visit], graph: TravelGraph, outages: Outages, *, reach_s: float = 1800.0
) -> tuple[Blindness, ...]:
    """Return the cameras that were down when the subject may have passed, in order of time.

    Looked at are the gaps between accepted visits and `reach_s` before the first and after the
    last of them.
    """
    place = {name: i for i, name in enumerate(graph.camera_ids)}
    stops = [(place[v.camera_id], v.start_us, v.end_us) for v in visits]
    found: dict[tuple[int, int, int], Blindness] = {}
    ends: list[tuple[int, int, int, int]] = []
    if stops:
        reach_us = round(reach_s * 1e6)
        first, last = stops[0], stops[-1]
        ends.append((first[0], first[1] - reach_us, first[0], first[1]))
        ends += [(a[0], a[2], b[0], b[1]) for a, b in itertools.pairwise(stops)]
        ends.append((last[0], last[2], last[0], last[2] + reach_us))
    for gap in ends:
        for one, camera in _blind_in_gap(graph, outages, gap):
            found.setdefault((one.start_us, camera, one.end_us), one)
    return tuple(found[key] for key in sorted(found))


def _blind_in_gap(
    graph: TravelGraph, outages: Outages, gap: tuple[int, int, int, int]
) -> list[tuple[Blindness, int]]:
    a, left_us, b, came_us = gap
    start, end = np.maximum(outages.start_us, left_us), np.minimum(outages.end_us, came_us)
    rows = np.flatnonzero(end > start)
    cameras = outages.camera[rows]
    way_s = graph.way(np.full(len(rows), a), cameras)[0]
    way_s = way_s + graph.way(cameras, np.full(len(rows), b))[0]
    found = []
    for k in rows[way_s <= (came_us - left_us) / 1e6]:
        name = graph.camera_ids[outages.camera[k]]
        sentence = (
            f"{name} was down for {(end[k] - start[k]) / 60e6:.0f} min while the subject may have "
            f"passed between {graph.camera_ids[a]} and {graph.camera_ids[b]}: nothing seen there "
            "says nothing"
        )
        spell = Blindness(name, int(start[k]), int(end[k]), sentence)
        found.append((spell, int(outages.camera[k])))
    return found
