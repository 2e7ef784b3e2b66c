"""A load box's spool: signed batches kept until the controller's cumulative acknowledgement."""

from collections import deque
from dataclasses import dataclass
from typing import Final
from uuid import UUID

WINDOW: Final = 32
"""Batches under way at a time, as at a real box."""
RESEND_AFTER_S: Final = 20.0
LIMIT: Final = 256
"""Unacknowledged batches of one box; a full spool takes no more until some are acknowledged."""


@dataclass(slots=True)
class Batch:
    """One signed batch; `count` sightings are new in it (0: a copy of sightings sent before)."""

    seq: int
    payload: bytes
    count: int
    sent_s: float | None = None


class BatchSpool:
    """Numbered batches in order: the first `WINDOW` are under way, the rest wait.

    Everything under way is sent again after a reconnect (`rewind`) and after `RESEND_AFTER_S`
    without progress.
    """

    __slots__ = ("_batches", "_next_seq", "_progress_s", "_under_way", "spool_id")

    def __init__(self, spool_id: UUID) -> None:
        self.spool_id: Final = spool_id
        self._batches: deque[Batch] = deque()
        self._under_way = 0
        self._next_seq = 1
        self._progress_s = 0.0

    def __len__(self) -> int:
        return len(self._batches)

    @property
    def next_seq(self) -> int:
        """The number that the next batch must carry."""
        return self._next_seq

    @property
    def full(self) -> bool:
        """Whether it takes no more."""
        return len(self._batches) >= LIMIT

    @property
    def pending_bytes(self) -> int:
        """Bytes of all unacknowledged batches."""
        return sum(len(batch.payload) for batch in self._batches)

    def append(self, payload: bytes, count: int) -> Batch:
        """Keep the batch numbered `next_seq`; ask `full` first."""
        batch = Batch(self._next_seq, payload, count)
        self._batches.append(batch)
        self._next_seq += 1
        return batch

    def take_due(self, now_s: float) -> list[Batch]:
        """Return what must be sent now, in order; `sent_s` is left to whoever sends it."""
        if self._under_way and now_s - self._progress_s > RESEND_AFTER_S:
            self._under_way = 0
        last = min(WINDOW, len(self._batches))
        if last <= self._under_way:
            return []
        if self._under_way == 0:
            self._progress_s = now_s
        due = [self._batches[i] for i in range(self._under_way, last)]
        self._under_way = last
        return due

    def acknowledge(self, acked_seq: int, now_s: float) -> list[Batch]:
        """Forget everything up to `acked_seq`; return it. A number never used is ignored."""
        gone: list[Batch] = []
        if acked_seq >= self._next_seq:
            return gone
        while self._batches and self._batches[0].seq <= acked_seq:
            gone.append(self._batches.popleft())
        if gone:
            self._under_way = max(0, self._under_way - len(gone))
            self._progress_s = now_s
        return gone

    def rewind(self) -> None:
        """Send everything under way again, as after a reconnect."""
        self._under_way = 0
