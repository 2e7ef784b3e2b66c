"""Where in a room people are: tables, shelves, desks, queues. The frame is the camera's ground.

A piece is a stretch of a stay on a straight line at an even speed; who is seated does not move.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from sim.city.days import Stays
from sim.city.draws import Draws
from sim.city.people import Crowd
from sim.city.types import F64, I64, U64
from sim.city.venues import RESTAURANT, SCHOOL, SHOP, STOP, WORK, Venues

TABLES: Final = 16
TABLE_EVERY_M: Final = 2.2
FIRST_TABLE_M: Final = 3.4
SEATS_M: Final = ((-0.45, -0.4), (0.45, -0.4), (0.45, 0.4), (-0.45, 0.4))
BROWSE_S: Final = 80.0
MAX_PIECES: Final = 64
CLASSES: Final = 12
TOGETHER_M: Final = 0.75


@dataclass(frozen=True, slots=True)
class Pieces:
    """k pieces of stays: which stay, which room, seconds, and both ends (k, 2) in metres."""

    stay: I64
    room: I64
    start_s: F64
    end_s: F64
    from_m: F64
    to_m: F64


def pieces_of(draws: Draws, venues: Venues, crowd: Crowd, stays: Stays) -> Pieces:
    """Return where everybody was during each stay."""
    kind = venues.kind[stays.venue]
    counts = np.ceil((stays.leave_s - stays.arrive_s) / BROWSE_S).clip(1, MAX_PIECES)
    counts = np.where(kind == SHOP, counts, 1).astype(np.int64)
    stay = np.repeat(np.arange(len(counts)), counts)
    number = np.arange(len(stay)) - np.repeat(np.cumsum(counts) - counts, counts)
    lasts = ((stays.leave_s - stays.arrive_s) / counts)[stay]
    start = stays.arrive_s[stay] + number * lasts
    spots = (_spots(draws, venues, crowd, stays, stay, number + k) for k in (0, 1))
    first, then = spots
    browsing = (kind[stay] == SHOP)[:, None]
    room = stays.venue * 64
    school = kind == SCHOOL
    pupil = crowd.person[stays.row]
    room = room + np.where(school, draws.below("class", CLASSES, pupil), 0)
    return Pieces(stay, room[stay], start, start + lasts, first, np.where(browsing, then, first))


def _spots(draws: Draws, venues: Venues, crowd: Crowd, stays: Stays, stay: I64, number: I64) -> F64:
    kind, key = venues.kind[stays.venue[stay]], stays.key[stay]
    person = crowd.person[stays.row[stay]]
    out = np.zeros((len(stay), 2))
    at = kind == RESTAURANT
    out[at] = _seats(draws, stays.venue[stay[at]], key[at], stays.place[stay[at]])
    at = kind == SHOP
    out[at] = _box(draws, "shelf", (-4, 4, 2.5, 11), key[at], number[at])
    out[at, 0] += TOGETHER_M * (stays.place[stay[at]] - 1.5)
    at = kind == STOP
    out[at] = _box(draws, "queue", (-3, 3, 4.5, 8), person[at], key[at])
    at = kind == SCHOOL
    out[at] = _box(draws, "pupil", (-4, 4, 2, 10), person[at])
    at = kind == WORK
    mate = crowd.mate[stays.row[stay[at]]]
    desk = _box(draws, "desk", (-15, 15, 2, 32), crowd.team[stays.row[stay[at]]])
    out[at] = desk + 1.7 * np.column_stack([mate % 2, mate // 2])
    return out


def _seats(draws: Draws, venue: I64, key: U64, place: I64) -> F64:
    table = draws.below("table", TABLES, venue, key)
    across = (table % 4 - 1.5) * TABLE_EVERY_M
    ahead = FIRST_TABLE_M + (table // 4) * TABLE_EVERY_M
    middle = np.column_stack([across, ahead])
    middle += 0.2 * np.column_stack(
        [draws.normal("across", venue, table), draws.normal("ahead", venue, table)]
    ).clip(-2, 2)
    return np.asarray(middle + np.array(SEATS_M)[place % 4])


def _box(draws: Draws, what: str, box: tuple[float, float, float, float], *keys: object) -> F64:
    x = draws.uniform(what + " x", *keys)  # type: ignore[arg-type]
    y = draws.uniform(what + " y", *keys)  # type: ignore[arg-type]
    return np.column_stack([box[0] + (box[1] - box[0]) * x, box[2] + (box[3] - box[2]) * y])
