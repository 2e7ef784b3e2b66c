"""When cameras were up and down: a camera that was down is never evidence of absence."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from controller.domain.travel import TravelGraph
from controller.domain.types import F64, Visit

MAX_OUTAGES: Final = 5_000
"""More outages than this in one case's scope: the longest are kept."""
ON_THE_WAY_S: Final = 20.0
"""A camera lies on the way if the detour over it takes no longer than this."""


@dataclass(frozen=True, slots=True)
class Outages:
    """k intervals in which a camera saw nothing: (k,) cameras of the graph, (k,) from, until µs."""

    camera: NDArray[np.int64]
    start_us: NDArray[np.int64]
    end_us: NDArray[np.int64]

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
        hit = (self.camera == camera) & (self.start_us < end_us) & (self.end_us > start_us)
        return tuple(
            (max(int(a), start_us), min(int(b), end_us))
            for a, b in zip(self.start_us[hit], self.end_us[hit], strict=True)
        )


@dataclass(frozen=True, slots=True)
class Blindness:
    """A camera that was down when the subject may have passed it; said, and never counted."""

    camera_id: str
    start_us: int
    end_us: int
    sentence: str


def down_on_the_way(
    graph: TravelGraph, outages: Outages, start: NDArray[np.int64], goal: NDArray[np.int64],
    left_us: NDArray[np.int64], came_us: NDArray[np.int64],
) -> NDArray[np.int64]:  # fmt: skip
    """Return (n,) how many cameras between two were down while somebody was on the way.

    `start`, `goal` (n,) cameras; `left_us`, `came_us` (n,) when they were left and reached.
    """
    count = np.zeros(len(start), np.int64)
    direct, between = graph.way(start, goal)
    for camera, from_us, until_us in zip(
        outages.camera, outages.start_us, outages.end_us, strict=True
    ):
        rows = np.flatnonzero((between > 0) & (left_us < until_us) & (came_us > from_us))
        rows = rows[(start[rows] != camera) & (goal[rows] != camera)]
        if len(rows):
            way = _over(graph, start[rows], int(camera), goal[rows])
            count[rows] += way <= direct[rows] + ON_THE_WAY_S
    return np.minimum(count, np.maximum(between, 0))


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
    for a, left_us, b, came_us in ends:
        for k in range(len(outages)):
            one = _blind_in_gap(graph, outages, k, (a, left_us, b, came_us))
            if one is not None:
                found.setdefault((one.start_us, int(outages.camera[k]), one.end_us), one)
    return tuple(found[key] for key in sorted(found))


def _blind_in_gap(
    graph: TravelGraph, outages: Outages, k: int, gap: tuple[int, int, int, int]
) -> Blindness | None:
    a, left_us, b, came_us = gap
    camera = int(outages.camera[k])
    start = max(int(outages.start_us[k]), left_us)
    end = min(int(outages.end_us[k]), came_us)
    spare_s = (came_us - left_us) / 1e6
    way_s = _over(graph, np.array([a]), camera, np.array([b]))[0]
    if end <= start or way_s > spare_s:
        return None
    name = graph.camera_ids[camera]
    return Blindness(
        name, start, end,
        f"{name} was down for {(end - start) / 60e6:.0f} min while the subject may have passed "
        f"between {graph.camera_ids[a]} and {graph.camera_ids[b]}: nothing seen there says nothing",
    )  # fmt: skip


def _over(
    graph: TravelGraph, start: NDArray[np.int64], camera: int, goal: NDArray[np.int64]
) -> F64:
    middle = np.full(len(start), camera, np.int64)
    return graph.way(start, middle)[0] + graph.way(middle, goal)[0]
