"""Who was how close to whom for how long: exactly, from straight stretches at even speeds.

Everybody's day is cut into stretches; two stretches are compared if they are in the same room (a
room of a venue, a bus, a stretch of street) at the same time. Homes are left out: no camera, and no
question.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from sim.city.cameras import LANE_M
from sim.city.making import Making, Unit
from sim.city.rooms import pieces_of
from sim.city.types import F64, I32, I64

BUS: Final = 1 << 50
STREET: Final = 1 << 45
SEAT_M: Final = 0.5


@dataclass(frozen=True, slots=True)
class Stretches:
    """k stretches, (k,) each: person, room, seconds since the city's start, ends (k, 2) in metres.

    `camera` which has its middle in view, -1 if none.
    """

    person: I64
    room: I64
    start_s: F64
    end_s: F64
    from_m: F64
    to_m: F64
    camera: I32

    def take(self, rows: I64) -> "Stretches":
        """Return the chosen rows as a table of their own."""
        return Stretches(*(getattr(self, name)[rows] for name in self.__slots__))


def stretches_of(making: Making, unit: Unit) -> Stretches:
    """Return the stretches of all of a unit's people."""
    parts = [_in_rooms(making, unit), _on_streets(making, unit), _on_buses(making, unit)]
    names = Stretches.__slots__
    return Stretches(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))


def _in_rooms(making: Making, unit: Unit) -> Stretches:
    stays = unit.life.stays
    pieces = pieces_of(making.draws, making.venues, unit.crowd, stays)
    camera = making.watcher.room_camera(stays.venue[pieces.stay])
    watched = np.maximum(camera, 0)
    middle = (pieces.from_m + pieces.to_m) / 2
    seen = (camera >= 0) & making.watcher.in_view(watched, middle)
    shift = unit.day * 86_400.0
    return Stretches(
        unit.crowd.person[stays.row[pieces.stay]], pieces.room, pieces.start_s + shift,
        pieces.end_s + shift, pieces.from_m, pieces.to_m, np.where(seen, camera, -1),
    )  # fmt: skip


def _on_streets(making: Making, unit: Unit) -> Stretches:
    steps, walks = unit.life.steps, unit.life.walks
    length = making.streets.length_m[steps.start, steps.slot_out]
    up = steps.start < steps.goal
    low, high = np.minimum(steps.start, steps.goal), np.maximum(steps.start, steps.goal)
    aside = np.where(up, 1.0, -1.0) * (LANE_M + walks.lane_m[steps.walk])
    shift = unit.day * 86_400.0
    return Stretches(
        unit.crowd.person[walks.row[steps.walk]], STREET + low * len(making.streets) + high,
        steps.start_s + shift, steps.end_s + shift,
        np.column_stack([np.where(up, 0.0, length), aside]),
        np.column_stack([np.where(up, length, 0.0), aside]),
        np.full(len(steps.walk), -1, np.int32),
    )  # fmt: skip


def _on_buses(making: Making, unit: Unit) -> Stretches:
    rides = unit.life.rides
    person = unit.crowd.person[rides.row]
    row = making.draws.below("bus row", 10, rides.key) * 0.8
    seat = np.column_stack([row, (making.draws.below("bus seat", 2, rides.key) * 2 - 1) * 0.9])
    seat[:, 0] += SEAT_M * rides.place
    shift = unit.day * 86_400.0
    return Stretches(
        person, BUS + rides.bus, rides.start_s + shift, rides.end_s + shift, seat, seat.copy(),
        np.full(len(person), -1, np.int32),
    )  # fmt: skip


def within(mine: Stretches, theirs: Stretches, distance_m: float) -> tuple[I64, I64, F64, F64]:
    """Return where two people were within a distance: rows of both, from and until seconds.

    Stretches of one person with himself are left out; pairs that never meet are, too.
    """
    order = np.argsort(theirs.room, kind="stable")
    low = np.searchsorted(theirs.room[order], mine.room)
    count = np.searchsorted(theirs.room[order], mine.room, "right") - low
    a = np.repeat(np.arange(len(mine.room)), count)
    b = order[np.arange(len(a)) - np.repeat(np.cumsum(count) - count - low, count)]
    start = np.maximum(mine.start_s[a], theirs.start_s[b])
    end = np.minimum(mine.end_s[a], theirs.end_s[b])
    kept = (start < end) & (mine.person[a] != theirs.person[b])
    a, b, start, end = a[kept], b[kept], start[kept], end[kept]
    first, last = _close(_apart(mine, theirs, a, b, start), _apart(mine, theirs, a, b, end),
                         distance_m)  # fmt: skip
    met = first < last
    lasts = end - start
    return a[met], b[met], (start + first * lasts)[met], (start + last * lasts)[met]


def _apart(mine: Stretches, theirs: Stretches, a: I64, b: I64, at_s: F64) -> F64:
    return _place(mine, a, at_s) - _place(theirs, b, at_s)


def _place(some: Stretches, rows: I64, at_s: F64) -> F64:
    lasts = np.maximum(some.end_s[rows] - some.start_s[rows], 1e-9)
    share = ((at_s - some.start_s[rows]) / lasts)[:, None]
    return np.asarray(some.from_m[rows] + share * (some.to_m[rows] - some.from_m[rows]))


def _close(begin: F64, end: F64, distance_m: float) -> tuple[F64, F64]:
    """Return between which shares of the time |begin + share (end - begin)| <= distance."""
    move = end - begin
    square = (move**2).sum(axis=1)
    half = (begin * move).sum(axis=1)
    rest = (begin**2).sum(axis=1) - distance_m**2
    still = square < 1e-12
    inside = half**2 - square * rest
    root = np.sqrt(np.maximum(inside, 0.0))
    safe = np.where(still, 1.0, square)
    first = np.where(still, 0.0, (-half - root) / safe).clip(0, 1)
    last = np.where(still, 1.0, (-half + root) / safe).clip(0, 1)
    never = np.where(still, rest > 0, inside <= 0)
    return np.where(never, 1.0, first), np.where(never, 0.0, last)
