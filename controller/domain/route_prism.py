"""Where the subject may have been recorded unknown to us: the space-time prism.

Between two known places a person can only have been where there was time to go and come back from
(Haegerstrand, "What about people in regional science?", 1970), over the camera graph and no faster
than people move. Inside the prism detours grow unlikely: a hurried walk keeps to the shortest way,
an idle hour strays some minutes. Before the first and after the last known place, and across a
night, only one side binds.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from controller.domain.presence import Outages
from controller.domain.travel import WALK_M_S, TravelGraph
from controller.domain.types import F64, Visit

I64 = NDArray[np.int64]
MAX_GAPS: Final = 2_000
"""Gaps of one trace that are looked at; beyond it the longest are left out."""
LEAST: Final = 0.0005
"""A camera less likely than this to hold the subject in a gap is no guess."""


@dataclass(frozen=True, slots=True)
class PrismSettings:
    """How far people stray, and how likely a passed camera holds a sighting not yet known.

    `unknown` is for a camera right on the way: of the many that are, few hold anything that the
    search did not find (measured on synthetic cities). `stray_s`: the walk that a detour costs
    before it is e times less likely, growing by `stray_share` of the time to spare up to
    `stray_most_s`.
    """

    unknown: float = 0.02
    stray_s: float = 15.0
    stray_share: float = 0.01
    stray_most_s: float = 40.0
    fastest_pace: float = 2.0
    slack_s: float = 30.0
    open_s: float = 1800.0
    longest_gap_s: float = 3 * 3600.0


@dataclass(frozen=True, slots=True)
class Guess:
    """One camera in one gap: when it may hold the subject (µs), how probable, and why."""

    camera: int
    start_us: int
    end_us: int
    probability: float
    reason: str


@dataclass(frozen=True, slots=True)
class _Gap:
    """From a camera (-1: unknown) at a time to a camera (-1: unknown) at a time."""

    left: int
    from_us: int
    right: int
    until_us: int


def guesses(
    visits: Sequence[Visit], graph: TravelGraph, settings: PrismSettings,
    outages: Outages | None = None,
) -> list[Guess]:  # fmt: skip
    """Return the cameras that may hold unknown sightings of a trace, gap by gap."""
    found: list[Guess] = []
    for gap in _gaps(visits, graph, settings):
        found += _of_gap(gap, graph, settings, outages or Outages.none())
    return found


def _gaps(visits: Sequence[Visit], graph: TravelGraph, settings: PrismSettings) -> list[_Gap]:
    place = {name: i for i, name in enumerate(graph.camera_ids)}
    stops = sorted(visits, key=lambda v: (v.start_us, v.end_us))
    open_us, longest_us = round(settings.open_s * 1e6), round(settings.longest_gap_s * 1e6)
    gaps: list[_Gap] = []
    if stops:
        first, last = stops[0], stops[-1]
        gaps.append(_Gap(-1, first.start_us - open_us, place[first.camera_id], first.start_us))
        gaps.append(_Gap(place[last.camera_id], last.end_us, -1, last.end_us + open_us))
    for one, other in itertools.pairwise(stops):
        a, b = place[one.camera_id], place[other.camera_id]
        between_us = other.start_us - one.end_us
        if 0 < between_us <= longest_us:
            gaps.append(_Gap(a, one.end_us, b, other.start_us))
        elif between_us > longest_us:
            # A night: the way home and the way out, each with one end known.
            gaps.append(_Gap(a, one.end_us, -1, one.end_us + open_us))
            gaps.append(_Gap(-1, other.start_us - open_us, b, other.start_us))
    return sorted(gaps, key=lambda g: (g.until_us - g.from_us, g.from_us))[:MAX_GAPS]


def _of_gap(
    gap: _Gap, graph: TravelGraph, settings: PrismSettings, outages: Outages
) -> list[Guess]:
    cameras = _reachable(gap, graph, settings)
    there_s = _way(graph, gap.left, cameras)
    back_s = _way(graph, gap.right, cameras)
    spare_s = (gap.until_us - gap.from_us) / 1e6 + settings.slack_s
    hurried_s = (there_s + back_s) / settings.fastest_pace
    probability = np.where(
        hurried_s <= spare_s, _likely(gap, graph, there_s + back_s, spare_s, settings), 0.0
    )
    rows = np.flatnonzero(probability >= LEAST)
    made = []
    for k in rows:
        start = gap.from_us + round((there_s[k] / settings.fastest_pace - settings.slack_s) * 1e6)
        end = gap.until_us - round((back_s[k] / settings.fastest_pace - settings.slack_s) * 1e6)
        camera = int(cameras[k])
        down = outages.down(camera, start, end)
        up = 1.0 - sum(b - a for a, b in down) / max(end - start, 1)
        if up > 0.0 and probability[k] * up >= LEAST:
            reason = _reason(gap, graph, spare_s - there_s[k] - back_s[k])
            made.append(Guess(camera, start, end, float(probability[k] * up), reason))
    return made


def _likely(
    gap: _Gap, graph: TravelGraph, way_s: F64, spare_s: float, settings: PrismSettings
) -> F64:
    if gap.left >= 0 and gap.right >= 0:
        direct_s = float(_way(graph, gap.left, np.array([gap.right]))[0])
        idle_s = max(0.0, spare_s - direct_s)
    else:
        # One end is open: near the known one, and the farther the less.
        direct_s, idle_s = 0.0, spare_s
    stray_s = min(settings.stray_s + settings.stray_share * idle_s, settings.stray_most_s)
    return np.asarray(settings.unknown * np.exp(-np.maximum(way_s - direct_s, 0.0) / stray_s))


def _reachable(gap: _Gap, graph: TravelGraph, settings: PrismSettings) -> I64:
    known = [c for c in (gap.left, gap.right) if c >= 0]
    reach_m = settings.fastest_pace * WALK_M_S * ((gap.until_us - gap.from_us) / 1e6 + 60.0)
    away_m = np.hypot(*(graph.places_m - graph.places_m[known[0]]).T)
    return np.flatnonzero(away_m <= reach_m + 2 * graph.radius_m).astype(np.int64)


def _way(graph: TravelGraph, known: int, cameras: I64) -> F64:
    if known < 0:
        return np.zeros(len(cameras))
    return graph.way(np.full(len(cameras), known, np.int64), cameras)[0]


def _reason(gap: _Gap, graph: TravelGraph, spare_s: float) -> str:
    ends = [graph.camera_ids[c] for c in (gap.left, gap.right) if c >= 0]
    spare = f"{max(spare_s, 0.0) / 60:.0f} min to spare on the way"
    if len(ends) == 2:
        return f"may have seen the subject between {ends[0]} and {ends[1]}: {spare}"
    when = "after" if gap.left >= 0 else "before"
    return f"may have seen the subject {when} {ends[0]}, which is near"
