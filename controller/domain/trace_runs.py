"""Could one look-alike have made a stretch of the trace?

Forward-backward takes faces as independent given the chain. A stranger who resembles the subject
does so at every camera, and walks as feasibly as anybody: ten sightings of one look-alike are not
ten pieces of evidence. So every run of consecutive visits is held against the rival story that one
stranger made it while the subject was unseen. Inside the run the steps are the stranger's as well
and cancel; left are the faces, pooled with the correlation that sightings of one person have
(design effect, Kish, 1965), the step into the run and out of it, and the step that jumps over it.
A visit stands only as firm as the weakest run that contains it.
"""

import itertools
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from controller.domain.trace_faces import FaceScores, LookAlikes, Sums, own_usual, pooled
from controller.domain.trace_moves import Moves
from controller.domain.trace_nodes import OPEN, Nodes
from controller.domain.types import F64

I64 = NDArray[np.int64]
Own = tuple[tuple[float, float], tuple[float, float]]
"""`own_usual` of the subject's masked and of the unmasked sightings."""
MAX_RUN: Final = 96
"""Visits in one run; a longer one is as doubtful as its first so many."""
STRETCH_GAP_S: Final = 7200.0
STRETCH_STEP_M: Final = 1500.0
SURE: Final = 50.0
FIRM_ODDS: Final = 3.0
SIGHTINGS_PER_RUN: Final = 2.0
OWN_ROUNDS: Final = 4
UNLIKE_SD: Final = 1.0
"""So much below the better faces of a stay a sighting may be somebody else's."""


@dataclass(frozen=True, slots=True)
class RunTest:
    """Of each node of a path: (n,) log odds of its weakest run, and that run's ends in the path."""

    odds: F64
    first: I64
    last: I64


def tested(
    path: I64, nodes: Nodes, posterior: F64, moves: Moves, entry_cost: F64,
    look_alikes: LookAlikes,
) -> RunTest:  # fmt: skip
    """Return how firm each node of a path stands against one look-alike's having made it.

    What is usual for this subject is learned from the firm part of the path. A node counts for its
    stretch as much as it is `posterior` (n,) likely to belong to the chain.
    """
    nodes = replace(nodes, weight=nodes.weight * posterior.clip(1e-3, 1.0))
    nobody = own_usual(np.empty(0), look_alikes)
    own, test = (nobody, nobody), RunTest(np.zeros(0), path, path)
    runs = _runs(path, nodes, moves, entry_cost)
    for _ in range(OWN_ROUNDS):
        test = _tested(path, nodes, runs, look_alikes, own)
        firm = path[(test.odds >= FIRM_ODDS) & (nodes.kind[path] == OPEN)]
        masked = nodes.masked[firm]
        found = (
            own_usual(nodes.usual[firm[masked]], look_alikes),
            own_usual(nodes.usual[firm[~masked]], look_alikes),
        )
        if np.allclose(found, own, atol=0.05):
            break
        own = found
    return test


@dataclass(frozen=True, slots=True)
class _Runs:
    """The k runs of all stretches, (k,) each.

    Units `a` to `b` of the whole path, and what the steps into and out of them are worth;
    `stretches` (first, last + 1) units, `first` (s + 1,) where each one's runs begin.
    """

    units: I64
    stretches: list[tuple[int, int]]
    first: I64
    a: I64
    b: I64
    steps: F64


def _runs(path: I64, nodes: Nodes, moves: Moves, entry_cost: F64) -> _Runs:
    units = _units(path, nodes)
    stretches = _stretches(units, path, nodes)
    starts, ends = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for low, high in stretches:
        a, b = np.triu_indices(high - low)
        short = b - a < MAX_RUN
        starts.append(low + a[short])
        ends.append(low + b[short])
    first = np.cumsum([len(one) for one in starts])
    a, b = np.concatenate(starts), np.concatenate(ends)
    steps = np.empty(0)
    if len(a):
        steps = _ends(units[a], units[b + 1] - 1, path, nodes, moves, entry_cost)
    return _Runs(units, stretches, first, a, b, steps)


def _tested(path: I64, nodes: Nodes, runs: _Runs, look_alikes: LookAlikes, own: Own) -> RunTest:
    odds = np.full(len(path), SURE)
    first, last = np.arange(len(path)), np.arange(len(path))
    value = runs.steps + _faces(runs.units, path, nodes, (runs.a, runs.b), look_alikes, own)
    for k, (low, high) in enumerate(runs.stretches):
        mine = slice(runs.first[k], runs.first[k + 1])
        table = np.full((high - low, high - low), np.inf)
        table[runs.a[mine] - low, runs.b[mine] - low] = value[mine]
        for unit, (least, a, b) in enumerate(_weakest(table), low):
            at = slice(runs.units[unit], runs.units[unit + 1])
            odds[at] = least
            first[at], last[at] = runs.units[low + a], runs.units[low + b + 1] - 1
    for others in _companions(runs.units, path, nodes):
        whole = np.array([0, len(others)], np.int64)
        start = np.zeros(1, np.int64)
        face = _faces(whole, path[others], nodes, (start, start), look_alikes, own)[0]
        rival = float(face + np.log(SIGHTINGS_PER_RUN))
        less = others[odds[others] > rival]
        odds[less], first[less], last[less] = rival, less, less
    return RunTest(odds, first, last)


def _companions(units: I64, path: I64, nodes: Nodes) -> list[I64]:
    """Return for each stay the sightings (places in the path) that may be one other person's.

    Somebody who stays in the same view makes no run of his own: his sightings lie between the
    subject's. They are those that are clearly less like the subject than the rest of the stay.
    """
    found = []
    for low, high in pairwise(units):
        if high - low < 2 or nodes.kind[path[low]] != OPEN:
            continue
        usual = nodes.usual[path[low:high]]
        unlike = np.flatnonzero(usual < np.quantile(usual, 0.75) - UNLIKE_SD)
        if len(unlike):
            found.append(np.asarray(low + unlike, np.int64))
    return found


def _units(path: I64, nodes: Nodes) -> I64:
    """Return where each visit (same camera, in a row) begins in the path, and the path's end."""
    if not len(path):
        return np.zeros(1, np.int64)
    camera, kind = nodes.camera[path], nodes.kind[path]
    new = (camera[1:] != camera[:-1]) | (kind[1:] != OPEN) | (kind[:-1] != OPEN)
    # A stay of hours in one view is still broken into parts that can fail alone.
    new |= nodes.start_s[path[1:]] - nodes.end_s[path[:-1]] > 1800.0
    return np.concatenate([[0], np.flatnonzero(new) + 1, [len(path)]]).astype(np.int64)


def _stretches(units: I64, path: I64, nodes: Nodes) -> list[tuple[int, int]]:
    """Return (first, last + 1) units that one stranger may have made in one go.

    Nodes that nobody doubts end a stretch, and so does a long time or a long way unseen.
    """
    if not len(path):
        return []
    first, last = path[units[:-1]], path[units[1:] - 1]
    open_ = nodes.kind[first] == OPEN
    gap = nodes.start_s[first[1:]] - nodes.end_s[last[:-1]]
    apart_m = np.hypot(*(nodes.place_m[first[1:]] - nodes.place_m[last[:-1]]).T)
    new = (gap > STRETCH_GAP_S) | (apart_m > STRETCH_STEP_M) | ~open_[1:] | ~open_[:-1]
    begins = np.concatenate([[0], np.flatnonzero(new) + 1, [len(first)]])
    return [(int(a), int(b)) for a, b in itertools.pairwise(begins) if open_[a]]


def _faces(
    units: I64, path: I64, nodes: Nodes, run: tuple[I64, I64], alike: LookAlikes,
    own: Own,
) -> F64:  # fmt: skip
    masked, weight, llr = nodes.masked[path], nodes.weight[path], nodes.llr[path]
    scores = FaceScores(nodes.strange[path], nodes.usual[path])
    one, other = (
        Sums.over(chosen, weight, llr, scores, usual[0]).evidence(
            units[run[0]], units[run[1] + 1], alike, usual[1]
        )
        for chosen, usual in zip((masked, ~masked), own, strict=True)
    )
    return pooled(one, other, alike)


def _ends(a: I64, b: I64, path: I64, nodes: Nodes, moves: Moves, entry_cost: F64) -> F64:
    """Return what the steps into and out of runs are worth against the step over them."""
    before, after = np.maximum(a - 1, 0), np.minimum(b + 1, len(path) - 1)
    starts, ends = a == 0, b == len(path) - 1
    into = moves.gains(nodes, path[before], path[a])
    into = np.where(starts, -entry_cost[path[a]], into)
    out = np.where(ends, 0.0, moves.gains(nodes, path[b], path[after]))
    over = moves.gains(nodes, path[before], path[after])
    over = np.where(starts, -entry_cost[path[after]], over)
    over = np.where(ends, 0.0, np.maximum(over, -SURE))
    # Strangers come in runs as well: one in so many of their sightings begins one.
    return np.asarray(into + out - over + np.log(SIGHTINGS_PER_RUN))


def _weakest(table: F64) -> list[tuple[float, int, int]]:
    """Return for each unit the least odds of a run that contains it, and the run."""
    # The best start up to each row, then the best end from each column on.
    start = np.minimum.accumulate(table, axis=0)
    found = []
    for k in range(len(table)):
        column = k + int(start[k, k:].argmin())
        row = int(table[: k + 1, column].argmin())
        found.append((float(table[row, column]), row, column))
    return found
