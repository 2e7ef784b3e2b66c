"""What goes wrong in a city on purpose: reconnect storms, batches sent twice, batches held back."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import numpy as np

from sim.errors import SimError

T = TypeVar("T")
HELD_LIMIT: Final = 20_000
"""Batches of one process that are held back at a time; more are sent at once and counted."""


@dataclass(frozen=True, slots=True)
class FaultSettings:
    """Shares are 0..1 of all batches (`storm_share`: of all connections); 0 switches a fault off.

    `late_s`: how long a late batch is held back, half as long to half as long again.
    `duplicate_s`: a duplicate follows within this time.
    """

    storm_every_s: float = 0.0
    storm_share: float = 0.2
    duplicate_share: float = 0.0
    duplicate_s: float = 5.0
    late_share: float = 0.0
    late_s: float = 120.0

    def check(self) -> None:
        """Raise `SimError` naming the first value that cannot be."""
        for name in ("storm_share", "duplicate_share", "late_share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise SimError(f"{name}: {getattr(self, name)} is no share; give 0 to 1")
        for name in ("storm_every_s", "duplicate_s", "late_s"):
            if getattr(self, name) < 0.0:
                raise SimError(f"{name}: {getattr(self, name)} is below 0 seconds")


class Luck:
    """Decides which batch meets which fault, from a random generator that is passed in."""

    def __init__(self, settings: FaultSettings, rng: np.random.Generator) -> None:
        self._settings, self._rng = settings, rng

    def late_s(self) -> float | None:
        """Return how long to hold the next batch back, or None."""
        if self._rng.random() >= self._settings.late_share:
            return None
        return self._settings.late_s * (0.5 + float(self._rng.random()))

    def duplicate_s(self) -> float | None:
        """Return after how long to send the next batch a second time, or None."""
        if self._rng.random() >= self._settings.duplicate_share:
            return None
        return self._settings.duplicate_s * float(self._rng.random())

    def renumbered(self) -> bool:
        """Whether a duplicate comes under a new number, as from a box that lost its spool."""
        return bool(self._rng.random() < 0.5)

    def struck(self, connections: int) -> list[int]:
        """Return the places of those that the next storm strikes."""
        count = round(connections * self._settings.storm_share)
        return [int(one) for one in self._rng.permutation(connections)[:count]]


class Held(Generic[T]):
    """Things that are due later, soonest first; at most `limit`."""

    def __init__(self, limit: int = HELD_LIMIT) -> None:
        self._heap: list[tuple[float, int, T]] = []
        self._limit, self._count = limit, 0

    def __len__(self) -> int:
        return len(self._heap)

    def __iter__(self) -> Iterator[T]:
        return (thing for _, _, thing in self._heap)

    def hold(self, due_s: float, thing: T) -> bool:
        """Keep a thing until `due_s`; false if too many are kept."""
        if len(self._heap) >= self._limit:
            return False
        self._count += 1
        heapq.heappush(self._heap, (due_s, self._count, thing))
        return True

    def take_due(self, now_s: float) -> list[T]:
        """Return what is due, soonest first; everything at `math.inf`."""
        due = []
        while self._heap and self._heap[0][0] <= now_s:
            due.append(heapq.heappop(self._heap)[2])
        return due
