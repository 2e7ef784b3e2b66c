"""A day of many people at once: work, school, lunch, errands, outings together, and the ways there.

Seven moves a day, each of them optional. Who goes with others (a team at lunch, a household in the
evening) leaves from the same place at the same second and walks at the same speed.
"""

from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np

from sim.city.draws import Draws
from sim.city.people import Crowd
from sim.city.streets import Streets
from sim.city.types import F64, I32, I64, U64, Bools
from sim.city.venues import CLOSE, Venues
from sim.city.walking import (
    ALIGHTING_S,
    Line,
    Rides,
    Steps,
    Walks,
    board,
    lines_between,
    walk,
)  # fmt: skip

HOUR: Final = 3600.0
FIRST_WEEKDAY: Final = 3
"""The first day is a Thursday."""
REST_S: Final = 600.0
"""Nobody leaves home again sooner."""
WALK_M: Final = 1400.0
PARTY_GAP_M: Final = 0.75
CAR_M_S, PARKING_S = 7.0, 150.0


@dataclass(frozen=True, slots=True)
class Stays:
    """k stays at venues (and waits at stops), (k,) each; seconds since the day began.

    `key` shared by a party, `place` which seat of the party's table, `slot` the move that led here.
    """

    row: I64
    venue: I64
    arrive_s: F64
    leave_s: F64
    key: U64
    place: I64
    slot: I64


@dataclass(frozen=True, slots=True)
class Day:
    """Where everybody of a crowd went on one day."""

    walks: Walks
    steps: Steps
    stays: Stays
    rides: Rides


@dataclass(slots=True)
class _Move:
    """One move: who goes, not before when, to which venue (-1 home), for how long at least."""

    goes: Bools
    at_s: F64
    venue: I64
    lasts_s: F64
    key: U64
    place: I64


class DayMaker:
    """Makes days of one crowd."""

    def __init__(self, draws: Draws, streets: Streets, venues: Venues, crowd: Crowd) -> None:
        self._draws, self._streets, self._venues = draws, streets, venues
        self._crowd = crowd

    def day(self, day: int) -> Day:
        """Return the crowd's day."""
        run = _Run(self._draws, self._streets, self._venues, self._crowd, day)
        for slot in range(7):
            run.go(slot)
        return run.done()


class _Run:
    """One day while it is made."""

    def __init__(
        self, draws: Draws, streets: Streets, venues: Venues, crowd: Crowd, day: int
    ) -> None:
        self.draws, self.streets, self.venues, self.crowd = draws, streets, venues, crowd
        self.day = day
        self.weekend = (FIRST_WEEKDAY + day) % 7 in (5, 6)
        count = len(crowd)
        self.ready = np.zeros(count)
        self.node = crowd.home.copy()
        self.venue = np.full(count, -1)
        self.arrived = np.zeros(count)
        self.last_key = np.zeros(count, np.uint64)
        self.last_place, self.last_slot = np.zeros(count, np.int64), np.zeros(count, np.int64)
        self.parts: dict[str, list[object]] = {name: [one] for name, one in _empty().items()}
        self.walked = 0
        attends = 0.93 if not self.weekend else 0.12
        self.attends = (crowd.job > 0) & self.chance("attends", attends)

    def chance(self, what: str, share: float) -> Bools:
        return self.draws.chance(what, share, self.crowd.person, self.day)

    def about(self, what: str, hour: float, minutes: float) -> F64:
        """Return times about an hour, in seconds."""
        z = self.draws.normal(what, self.crowd.person, self.day).clip(-2.5, 2.5)
        return np.asarray(hour * HOUR + minutes * 60 * z)

    def go(self, slot: int) -> None:
        """Let those move who do."""
        makers = (self._out, self._lunch, self._afternoon, self._leave, self._home,
                  self._outing, self._home)  # fmt: skip
        move = makers[slot](slot)
        goes = np.flatnonzero(move.goes)
        if len(goes):
            self._travel(slot, goes, move)

    def _move(self, slot: int) -> _Move:
        count = len(self.crowd)
        key = self.draws.bits("own way", self.crowd.person, self.day * 8 + slot)
        return _Move(np.zeros(count, bool), self.ready.copy(), np.full(count, -1),
                     np.zeros(count), key, self.draws.below("seat", 4, key))  # fmt: skip

    def _errand(self, move: _Move, who: Bools, near: I64, shop_share: float) -> None:
        """Send `who` to a shop or a restaurant near nodes, favourites more often."""
        slot_key = move.key
        shop = self.draws.chance("shop", shop_share, slot_key)
        rank = (self.draws.uniform("which", slot_key) ** 2 * CLOSE).astype(np.int64)
        # Everybody orders the nearest ones in a way of his own, so favourites differ.
        rank = (rank + self.draws.below("favourite", CLOSE, self.crowd.person)) % CLOSE
        choice = np.where(
            shop, self.venues.close_shops[near, rank], self.venues.close_restaurants[near, rank]
        )
        lasts = np.where(shop, 8.0, 25.0) + np.where(shop, 30, 35) * self.draws.uniform(
            "lasts", slot_key
        )
        move.goes |= who
        move.venue = np.where(who, choice, move.venue)
        move.lasts_s = np.where(who, lasts * 60, move.lasts_s)

    def _out(self, slot: int) -> _Move:
        crowd, move = self.crowd, self._move(slot)
        errand = ~self.attends & self.chance("morning errand", 0.7 if self.weekend else 0.8)
        self._errand(move, errand, crowd.home, 0.75)
        move.at_s = self.about("morning", 9.9, 50)
        at = np.where(crowd.job == 2, self.about("school", 8.2, 12), self.about("work", 7.9, 40))
        move.goes |= self.attends
        move.at_s = np.where(self.attends, at, move.at_s)
        move.venue = np.where(self.attends, crowd.work, move.venue)
        return move

    def _lunch(self, slot: int) -> _Move:
        crowd, move = self.crowd, self._move(slot)
        back = (self.venue >= 0) & ~self.attends
        together = self.draws.chance("lunch", 0.6, crowd.team, self.day)
        joins = self.attends & (crowd.job == 1) & together & self.chance("joins lunch", 0.85)
        alone = self.attends & (crowd.job == 1) & ~together & self.chance("lunch alone", 0.3)
        key = self.draws.bits("lunch party", crowd.team, self.day)
        move.key = np.where(joins, key, move.key)
        move.place = np.where(joins, crowd.mate, move.place)
        near = self.venues.node[np.maximum(self.venue, 0)].astype(np.int64)
        rank = self.draws.below("lunch where", CLOSE, move.key)
        noon = 12.1 * HOUR + 1000 * self.draws.normal("noon", move.key).clip(-2, 2)
        lunch = (joins | alone) & (self.ready < noon - 300)
        move.goes = back | lunch
        move.at_s = np.where(lunch, noon, move.at_s)
        move.venue = np.where(lunch, self.venues.close_restaurants[near, rank], -1)
        lasts = (26 + 26 * self.draws.uniform("lunch lasts", move.key)) * 60
        move.lasts_s = np.where(lunch, lasts, 0.0)
        return move

    def _afternoon(self, slot: int) -> _Move:
        crowd, move = self.crowd, self._move(slot)
        at_lunch = self.attends & (self.last_slot == 1) & (self.venue != crowd.work)
        errand = (self.venue < 0) & ~self.attends & self.chance("second errand", 0.7)
        at = self.about("afternoon", 14.4, 70)
        errand &= at > self.ready + REST_S
        self._errand(move, errand, crowd.home, 0.6)
        move.at_s = np.where(errand, at, self.ready)
        # Who ate together walks back together.
        move.key = np.where(at_lunch, self.last_key, move.key)
        move.place = np.where(at_lunch, self.last_place, move.place)
        move.goes |= at_lunch
        move.venue = np.where(at_lunch, crowd.work, move.venue)
        return move

    def _leave(self, slot: int) -> _Move:
        crowd, move = self.crowd, self._move(slot)
        from_work = self.attends & (self.venue >= 0)
        errand = from_work & self.chance("on the way", 0.55)
        half = self.chance("near work", 0.5)
        near = np.where(half, self.node, crowd.home)
        self._errand(move, errand, near, 0.65)
        at = np.where(crowd.job == 2, self.about("school's end", 15.6, 40),
                      self.about("work's end", 18.0, 45))  # fmt: skip
        move.at_s = np.where(from_work, at, self.ready)
        move.goes |= self.venue >= 0
        return move

    def _home(self, slot: int) -> _Move:
        move = self._move(slot)
        move.goes = self.venue >= 0
        move.key = np.where(move.goes & (slot == 6), self.last_key, move.key)
        move.place = np.where(move.goes & (slot == 6), self.last_place, move.place)
        return move

    def _outing(self, slot: int) -> _Move:
        crowd, move = self.crowd, self._move(slot)
        share = 0.6 if self.weekend else 0.3
        together = self.draws.chance("outing", share, crowd.household, self.day)
        joins = together & self.chance("joins outing", 0.8)
        late = ~joins & (crowd.job < 2) & self.chance("late", 0.2)
        key = self.draws.bits("outing party", crowd.household, self.day)
        move.key = np.where(joins, key, move.key)
        move.place = np.where(joins, crowd.member, move.place)
        hour, spread = (16.5, 70) if self.weekend else (19.4, 30)
        at = hour * HOUR + spread * 60 * self.draws.normal("outing at", move.key).clip(-2, 2)
        at = np.where(late, self.about("late at", 21.6, 50), at)
        goes = (joins | late) & (self.ready < at - REST_S) & (self.venue < 0)
        self._errand(move, goes, crowd.home, 0.35)
        rank = self.draws.below("outing where", CLOSE, move.key)
        where = self.venues.close_restaurants[crowd.home, rank]
        move.venue = np.where(joins, where, move.venue)
        lasts = (40 + 60 * self.draws.uniform("outing lasts", move.key)) * 60
        move.lasts_s, move.at_s = np.where(goes, lasts, 0.0), at
        move.goes = goes
        return move

    def _travel(self, slot: int, goes: I64, move: _Move) -> None:
        """Take `goes` to where they want; note the stay that they leave."""
        leave = np.maximum(self.ready, move.at_s)[goes]
        self._note_stay(goes, leave)
        goal = np.where(
            move.venue[goes] >= 0, self.venues.node[move.venue[goes]], self.crowd.home[goes]
        )
        here, key = self.node[goes], move.key[goes]
        by_bus, by_car = self._modes(here, goal, key)
        arrive = leave + PARKING_S + 1.4 * self._far_m(here, goal) / CAR_M_S
        foot = np.flatnonzero(~by_bus & ~by_car)
        trip = (slot, goes, key, move.place[goes])
        arrive[foot] = self._walk(trip, foot, here[foot], goal[foot], leave[foot])
        bus = np.flatnonzero(by_bus)
        if len(bus):
            arrive[bus] = self._ride(trip, bus, here[bus], goal[bus], leave[bus])
        self.node[goes], self.venue[goes] = goal, move.venue[goes]
        self.arrived[goes], self.ready[goes] = arrive, arrive + move.lasts_s[goes]
        self.last_key[goes], self.last_place[goes] = key, move.place[goes]
        self.last_slot[goes] = slot

    def _far_m(self, start: I64, goal: I64) -> F64:
        return np.asarray(np.hypot(*(self.streets.places_m[start] - self.streets.places_m[goal]).T))

    def _modes(self, here: I64, goal: I64, key: U64) -> tuple[Bools, Bools]:
        far = self._far_m(here, goal) > WALK_M
        # A household has one car, so a party decides as one.
        car = far & self.draws.chance("by car", 0.28, key)
        stops = self.venues.close_stop
        a, b = stops[here], stops[goal]
        reach = self._in_reach(here, self.venues.node[a]) & self._in_reach(
            self.venues.node[b], goal
        )
        bus = far & ~car & (a != b) & reach
        car |= ~bus & ~self._in_reach(here, goal)
        return bus, car

    def _in_reach(self, start: I32 | I64, goal: I32 | I64) -> Bools:
        return np.asarray((start == goal) | (self.streets.step[goal, start] >= 0))

    def _walk(
        self, trip: tuple[int, I64, U64, I64], which: I64, start: I64, goal: I64, leave: F64
    ) -> F64:
        slot, goes, keys, places = trip
        row, key = goes[which], keys[which]
        pace = np.exp(0.07 * self.draws.normal("pace", key))
        aside = (places[which] - 1.5).astype(np.float64)
        walks = Walks(
            row, np.full(len(row), slot), key, leave, self._speed(row, key) * pace,
            PARTY_GAP_M * aside,
        )  # fmt: skip
        arrive, steps = walk(self.streets, self.draws, walks, start, goal)
        steps = Steps(steps.walk + self.walked, *(getattr(steps, n) for n in Steps.__slots__[1:]))
        self.walked += len(row)
        self.parts["walks"].append(walks)
        self.parts["steps"].append(steps)
        return arrive

    def _speed(self, row: I64, key: U64) -> F64:
        """Return each one's own speed, and a common one for those who share a key."""
        shared = 1.15 + 0.15 * self.draws.uniform("party's speed", key)
        return np.where(self._is_party(row, key), shared, self.crowd.speed_m_s[row])

    def _is_party(self, row: I64, key: U64) -> Bools:
        """Tell who walks for a party, whether or not its others are in this chunk."""
        team = self.draws.bits("lunch party", self.crowd.team[row], self.day)
        household = self.draws.bits("outing party", self.crowd.household[row], self.day)
        return np.asarray((key == team) | (key == household))

    def _ride(
        self, trip: tuple[int, I64, U64, I64], which: I64, here: I64, goal: I64, leave: F64
    ) -> F64:
        """Walk to the stop, ride along a row and a column of the network, walk on."""
        stops = self.venues.close_stop
        first, last = stops[here], stops[goal]
        ready = self._walk(trip, which, here, self.venues.node[first].astype(np.int64), leave)
        along, up, corner = lines_between(self.venues, first, last)
        ready = self._on(trip, which, along, first.astype(np.int64), corner, ready)
        ready = self._on(trip, which, up, corner, last.astype(np.int64), ready)
        return self._walk(trip, which, self.venues.node[last].astype(np.int64), goal, ready)

    def _on(
        self, trip: tuple[int, I64, U64, I64], which: I64, line: Line, stop: I64, off: I64,
        ready: F64,
    ) -> F64:  # fmt: skip
        """Wait, ride and alight those for whom there is a way to go; return when they are there."""
        moves = np.flatnonzero(line.way != 0)
        some = Line(*(getattr(line, name)[moves] for name in Line.__slots__))
        leaves, there, bus = board(self.draws, some, ready[moves])
        slot, goes, key, places = trip
        row, keys = goes[which[moves]], key[which[moves]]
        seat, slots = places[which[moves]], np.full(len(moves), slot)
        self.parts["stays"].append(Stays(row, stop[moves], ready[moves], leaves, keys, seat, slots))
        out = there + ALIGHTING_S
        self.parts["stays"].append(Stays(row, off[moves], there, out, keys, seat, slots))
        self.parts["rides"].append(Rides(row, bus, leaves, there, keys, seat))
        result = ready.copy()
        result[moves] = out
        return result

    def _note_stay(self, goes: I64, leave: F64) -> None:
        out = self.venue[goes] >= 0
        row = goes[out]
        self.parts["stays"].append(
            Stays(row, self.venue[row], self.arrived[row], leave[out], self.last_key[row],
                  self.last_place[row], self.last_slot[row])
        )  # fmt: skip

    def done(self) -> Day:
        """Return the day."""
        return Day(
            walks=_joined(Walks, self.parts["walks"]),
            steps=_joined(Steps, self.parts["steps"]),
            stays=_joined(Stays, self.parts["stays"]),
            rides=_joined(Rides, self.parts["rides"]),
        )


T = TypeVar("T", Walks, Steps, Stays, Rides)


def _joined(kind: type[T], parts: list[object]) -> T:
    names = kind.__slots__
    return kind(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _empty() -> dict[str, object]:
    whole, slot, real = np.empty(0, np.int64), np.empty(0, np.int8), np.empty(0)
    key = np.empty(0, np.uint64)
    return {
        "walks": Walks(whole, whole, key, real, real, real),
        "steps": Steps(whole, whole, whole, slot, slot, real, real),
        "stays": Stays(whole, whole, real, real, key, whole, whole),
        "rides": Rides(whole, whole, real, real, key, whole),
    }
