"""Who passes which box when, and what becomes of it: batches, some late, some sent twice."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from sim.light.agent import Outgoing
from sim.load.box import Kit, Seen
from sim.load.connection import Connection
from sim.load.demand import Demand
from sim.load.faults import Held, Luck
from wire.limits import MAX_SIGHTINGS_PER_BATCH
from wire.topics import agent_topic

_AGAIN_S: Final = 2.0
MAX_DUPLICATES: Final = 5_000
"""Duplicates of one process that wait for their moment; more are not made."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How one process works: its share of all arrivals, its batches and how often health comes.

    A batch is closed at `batch` sightings, or `linger_s` after its first.
    """

    share: float
    batch: int = MAX_SIGHTINGS_PER_BATCH
    linger_s: float = 0.25
    health_s: float = 60.0


@dataclass(frozen=True, slots=True)
class _Late:
    connection: Connection
    seen: list[Seen]


@dataclass(frozen=True, slots=True)
class _Again:
    connection: Connection
    seen: list[Seen]
    payload: bytes


class Traffic:
    """Arrivals are Poisson at every camera; nothing is made before `go` or after `drain`."""

    def __init__(
        self, connections: Sequence[Connection], *, kit: Kit, demand: Demand, luck: Luck,
        pace: Pace, rng: np.random.Generator, clock_us: Callable[[], int],
    ) -> None:  # fmt: skip
        self._connections, self._kit, self._demand = connections, kit, demand
        self._luck, self._pace, self._rng, self._clock_us = luck, pace, rng, clock_us
        self._lingering: Held[Connection] = Held(limit=len(connections))
        self._late: Held[_Late] = Held()
        self._again: Held[_Again] = Held(MAX_DUPLICATES)
        self._started_s: float | None = None
        self._draining = False

    @property
    def waiting(self) -> int:
        """How many sightings are in no batch yet, or in one that is held back."""
        in_boxes = sum(len(connection.box.waiting) for connection in self._connections)
        return in_boxes + sum(len(one.seen) for one in self._late)

    @property
    def over(self) -> bool:
        """Whether it was told to drain and nothing is left to send."""
        return self._draining and not self.waiting and not self._again

    def go(self, now_s: float) -> None:
        """Let people pass from now on."""
        self._started_s = now_s

    def drain(self) -> None:
        """Let nobody pass any more; what is held back goes at once."""
        self._started_s, self._draining = None, True

    def step(self, now_s: float, elapsed_s: float) -> None:
        """Do what became due in the last `elapsed_s`."""
        if self._started_s is not None:
            self._arrivals(now_s, elapsed_s, now_s - self._started_s)
        due_s = math.inf if self._draining else now_s
        for connection in self._lingering.take_due(due_s):
            self._close_batch(connection, now_s)
        for late in self._late.take_due(due_s):
            self._release(late, now_s)
        for again in self._again.take_due(due_s):
            self._repeat(again, now_s)

    def close_stuck(self, connection: Connection, now_s: float) -> None:
        """Close a batch that could not be closed in time, for want of a key or of room."""
        waiting = connection.box.waiting
        longest_us = 1e6 * (self._pace.linger_s + _AGAIN_S)
        if waiting and (self._draining or self._clock_us() - waiting[0].end_us > longest_us):
            self._close_batch(connection, now_s)

    def _arrivals(self, now_s: float, elapsed_s: float, since_start_s: float) -> None:
        # Many independent Poisson streams are one Poisson stream with a random place each time.
        rate = self._demand.rate_at(since_start_s) * self._pace.share
        count = int(self._rng.poisson(rate * elapsed_s))
        places = self._rng.integers(0, len(self._connections), count).tolist()
        walkers = self._rng.integers(0, len(self._kit.people), count).tolist()
        now_us = self._clock_us()
        for place, walker in zip(places, walkers, strict=True):
            self._arrive(self._connections[place], walker, now_s, now_us)

    def _arrive(self, connection: Connection, walker: int, now_s: float, now_us: int) -> None:
        box = connection.box
        first = not box.waiting
        if not box.arrive(walker, now_us):
            return
        if len(box.waiting) >= self._pace.batch:
            self._close_batch(connection, now_s)
        elif first:
            self._lingering.hold(now_s + self._linger_s(now_s), connection)

    def _linger_s(self, now_s: float) -> float:
        # A city's boxes are not in step: the first batches are cut short, each at random.
        linger_s = self._pace.linger_s
        begun = self._started_s is None or now_s - self._started_s >= linger_s
        return linger_s if begun else linger_s * float(self._rng.random())

    def _close_batch(self, connection: Connection, now_s: float) -> None:
        box = connection.box
        if not box.waiting or not box.can_seal(box.waiting):
            # `close_stuck` comes back to it.
            return
        seen = box.take_waiting()
        late_s = None if self._draining else self._luck.late_s()
        if late_s is None:
            self._publish(connection, seen, now_s)
        elif self._late.hold(now_s + late_s, _Late(connection, seen)):
            self._kit.tally.late += 1
        else:
            self._kit.tally.late_at_once += 1
            self._publish(connection, seen, now_s)

    def _publish(self, connection: Connection, seen: list[Seen], now_s: float) -> None:
        batch = connection.box.seal(seen, self._clock_us())
        duplicate_s = self._luck.duplicate_s()
        if duplicate_s is not None:
            self._again.hold(now_s + duplicate_s, _Again(connection, seen, batch.payload))
        connection.pump(now_s)

    def _release(self, late: _Late, now_s: float) -> None:
        if late.connection.box.can_seal(late.seen):
            self._publish(late.connection, late.seen, now_s)
        else:
            self._late.hold(now_s + _AGAIN_S, late)

    def _repeat(self, again: _Again, now_s: float) -> None:
        connection, box = again.connection, again.connection.box
        if not connection.up:
            return
        if self._luck.renumbered() and box.can_seal(again.seen):
            box.seal(again.seen, self._clock_us(), copy=True)
            connection.pump(now_s)
        else:
            connection.publish(Outgoing(agent_topic(box.agent_id, "sightings"), again.payload))
        self._kit.tally.duplicates += 1
