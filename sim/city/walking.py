"""Ways on foot, step by step over the streets, many people at once; and rides on the bus."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from sim.city.draws import Draws
from sim.city.streets import Streets
from sim.city.types import F64, I8, I32, I64, U64
from sim.city.venues import Venues

HEADWAY_S: Final = 480.0
HOP_S: Final = 75.0
"""From one stop to the next, halt included."""
ALIGHTING_S: Final = 8.0
RED_LIGHT: Final = 0.12
RED_LIGHT_S: Final = 18.0
MAX_STEPS: Final = 400
"""Longer than any way within the limit of walking; a walk that is cut here ends where it is."""


@dataclass(frozen=True, slots=True)
class Walks:
    """w walks, (w,) each. `row` whose, `slot` which move of the day, `key` shared by a party,
    `speed_m_s`, `lane_m` how far beside the party's middle."""

    row: I64
    slot: I64
    key: U64
    start_s: F64
    speed_m_s: F64
    lane_m: F64


@dataclass(frozen=True, slots=True)
class Steps:
    """s steps from node to node: which walk, nodes, slots of the link at both ends, seconds."""

    walk: I64
    start: I64
    goal: I64
    slot_out: I8
    slot_in: I8
    start_s: F64
    end_s: F64


@dataclass(frozen=True, slots=True)
class Rides:
    """r rides: whose, on which bus (a number of its own), seconds, party's key and place in it."""

    row: I64
    bus: I64
    start_s: F64
    end_s: F64
    key: U64
    place: I64


def walk(streets: Streets, draws: Draws, walks: Walks, start: I64, goal: I64) -> tuple[F64, Steps]:
    """Return when each walk arrives, and its steps; every goal is in reach."""
    at, now = start.copy(), walks.start_s.copy()
    left = np.flatnonzero(at != goal)
    parts: list[tuple[I64, I64, I64, I8, I8, F64, F64]] = []
    for _ in range(MAX_STEPS):
        if not len(left):
            break
        node = at[left]
        slot = streets.step[goal[left], node]
        onto = streets.beside[node, slot].astype(np.int64)
        begins = now[left]
        ends = begins + streets.length_m[node, slot] / walks.speed_m_s[left]
        parts.append((left, node, onto, slot, streets.back[node, slot], begins, ends))
        luck = draws.uniform("red light", walks.key[left], onto)
        # What is left of the same number says how long.
        waits = np.where(luck < RED_LIGHT, -np.log(luck / RED_LIGHT + 1e-9) * RED_LIGHT_S, 0.0)
        at[left], now[left] = onto, ends + np.minimum(waits, 90.0)
        there = onto == goal[left]
        now[left[there]] = ends[there]
        left = left[~there]
    columns = (np.concatenate(c) for c in zip(*parts, strict=True)) if parts else _nothing()
    return now, Steps(*columns)


def _nothing() -> tuple[I64, I64, I64, I8, I8, F64, F64]:
    whole, slot, real = np.empty(0, np.int64), np.empty(0, np.int8), np.empty(0)
    return whole, whole, whole, slot, slot, real, real


@dataclass(frozen=True, slots=True)
class Line:
    """k trips along one line: line number, way (+1, -1), places of the stops on it."""

    number: I64
    way: I64
    first: I64
    last: I64


def lines_between(venues: Venues, start: I32, goal: I32) -> tuple[Line, Line, I64]:
    """Return the ride along a row, the one along a column, and the stop between; hops may be 0."""
    row, to_row = (venues.stop_row[stop].astype(np.int64) for stop in (start, goal))
    column, to_column = (venues.stop_column[stop].astype(np.int64) for stop in (start, goal))
    rows = len(venues.stop_grid)
    along = Line(row, np.sign(to_column - column), column, to_column)
    up = Line(rows + to_column, np.sign(to_row - row), row, to_row)
    return along, up, venues.stop_grid[row, to_column].astype(np.int64)


def board(draws: Draws, line: Line, ready_s: F64) -> tuple[F64, F64, I64]:
    """Return when the next bus leaves, when it is there, and which bus it is."""
    hops = np.where(line.way > 0, line.first, 1_000 - line.first)
    phase = HEADWAY_S * draws.uniform("line", line.number, line.way + 1)
    passes = phase + HOP_S * hops
    which = np.ceil((ready_s - passes) / HEADWAY_S).astype(np.int64)
    leaves = passes + which * HEADWAY_S
    there = leaves + HOP_S * np.abs(line.last - line.first)
    bus = (line.number * 2 + (line.way > 0)) * 1_000_000 + which + 500_000
    return leaves, there, bus
