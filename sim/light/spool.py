"""A light agent's spool: numbered payloads kept in memory until the controller's signed ack."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sim.errors import SimError

_FIRST_RETRY_S: Final = 15.0
_LONGEST_RETRY_S: Final = 120.0


class SpoolFull(SimError):
    """The spool holds as many unacknowledged payloads as it may."""


@dataclass(slots=True)
class _Entry:
    topic: str
    payload: bytes
    count: int
    due_s: float = 0.0
    attempts: int = 0


class Spool:
    """Unacknowledged payloads of one stream, in order, at most `limit` of them.

    Only the first `window` unacknowledged ones are ever under way; each is sent again after 15 s,
    then twice as long each time up to 2 min, and at once after a reconnect.
    """

    def __init__(self, spool_id: UUID, *, window: int = 8, limit: int = 4_096) -> None:
        self.spool_id: Final = spool_id
        self.acked_count = 0
        self._window = window
        self._limit = limit
        self._next_seq = 1
        self._entries: OrderedDict[int, _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def next_seq(self) -> int:
        """The number that the next payload must carry."""
        return self._next_seq

    @property
    def pending_bytes(self) -> int:
        """Bytes of all unacknowledged payloads."""
        return sum(len(entry.payload) for entry in self._entries.values())

    def append(self, topic: str, payload: bytes, *, count: int = 1) -> None:
        """Keep the payload numbered `next_seq`; `count` is what an ack of it adds up to."""
        if len(self._entries) >= self._limit:
            raise SpoolFull(f"spool: {self._limit} payloads wait; let the controller acknowledge")
        self._entries[self._next_seq] = _Entry(topic, payload, count)
        self._next_seq += 1

    def acknowledge(self, acked_seq: int) -> int:
        """Forget everything up to `acked_seq`; return how many payloads that were."""
        gone = 0
        while self._entries and next(iter(self._entries)) <= acked_seq:
            _, entry = self._entries.popitem(last=False)
            self.acked_count += entry.count
            gone += 1
        return gone

    def rewind(self) -> None:
        """Make everything due at once, as after a reconnect."""
        for entry in self._entries.values():
            entry.due_s, entry.attempts = 0.0, 0

    def take_due(self, now_s: float) -> list[tuple[str, bytes]]:
        """Return the (topic, payload) pairs to publish now; they count as sent."""
        due: list[tuple[str, bytes]] = []
        for _, entry in zip(range(self._window), self._entries.values(), strict=False):
            if entry.due_s <= now_s:
                wait_s = min(_FIRST_RETRY_S * 2.0**entry.attempts, _LONGEST_RETRY_S)
                entry.due_s, entry.attempts = now_s + wait_s, entry.attempts + 1
                due.append((entry.topic, entry.payload))
        return due
