"""Where each agent's spool stands: what is acknowledged, and what came ahead of a gap."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from controller.services.ingest_batches import Numbered
from controller.services.ports import Cursor, CursorStore
from controller.services.restored_gaps import RestoredGaps

MAX_AHEAD: Final = 256
"""Numbers remembered beyond a gap per spool; more are stored but must be sent again."""
MAX_SPOOLS_AHEAD: Final = 4_096
"""Spools with a gap; beyond it the oldest one's numbers are forgotten: its batches are sent again,
and their ids make that harmless."""
MAX_CACHED: Final = 65_536
"""Cursors kept in memory; the least recently used go first and are read again."""
SpoolKey = tuple[str, str, UUID]


@dataclass(frozen=True, slots=True)
class Step:
    """What will hold once a group is durable: the moved cursors, and what then lies ahead."""

    cursors: list[Cursor]
    ahead: Mapping[SpoolKey, frozenset[int]]


class Progress:
    """Plans cursors without changing anything, and follows once they are durable.

    Used by one thread; this process is the only one that moves cursors.
    """

    def __init__(self, store: CursorStore, gaps: RestoredGaps | None = None) -> None:
        self._store, self._gaps = store, gaps
        self._acked: OrderedDict[SpoolKey, int] | None = None
        self._holds_all = False
        self._ahead: OrderedDict[SpoolKey, frozenset[int]] = OrderedDict()

    @property
    def spools_ahead(self) -> int:
        """How many spools have a gap now."""
        return len(self._ahead)

    def known(self, number: Numbered) -> bool:
        """Tell whether this message is durable already."""
        key = _key(number)
        return number.seq <= self._acked_seq(key) or number.seq in self._ahead.get(key, ())

    def plan(self, numbers: Iterable[Numbered]) -> Step:
        """Return how far each spool comes when these messages are durable."""
        came: dict[SpoolKey, set[int]] = {}
        for number in numbers:
            came.setdefault(_key(number), set()).add(number.seq)
        cursors, left = [], {}
        for key, seqs in came.items():
            acked = self._acked_seq(key)
            ahead = {seq for seq in seqs | self._ahead.get(key, frozenset()) if seq > acked}
            if self._gaps is not None:
                acked = self._gaps.base(Cursor(*key, acked), ahead)
            while acked + 1 in ahead:
                acked += 1
                ahead.remove(acked)
            cursors.append(Cursor(*key, acked))
            left[key] = frozenset(sorted(ahead)[:MAX_AHEAD])
        return Step(cursors, left)

    def store(self, step: Step) -> None:
        """Make a step durable in one transaction, then follow it."""
        self._store.advance([c for c in step.cursors if c.acked_seq > self._acked_seq(_of(c))])
        for cursor in step.cursors:
            self._remember(_of(cursor), cursor.acked_seq)
        for key, ahead in step.ahead.items():
            self._ahead.pop(key, None)
            if ahead:
                self._ahead[key] = ahead
        while len(self._ahead) > MAX_SPOOLS_AHEAD:
            self._ahead.popitem(last=False)

    def _acked_seq(self, key: SpoolKey) -> int:
        cache = self._cache()
        if key not in cache:
            # A city's new spools, one by one from the database, would cost its first seconds.
            self._remember(key, 0 if self._holds_all else self._store.cursor(*key))
        cache.move_to_end(key)
        return cache[key]

    def _remember(self, key: SpoolKey, acked_seq: int) -> None:
        cache = self._cache()
        cache[key] = acked_seq
        cache.move_to_end(key)
        while len(cache) > MAX_CACHED:
            cache.popitem(last=False)
            self._holds_all = False

    def _cache(self) -> OrderedDict[SpoolKey, int]:
        if self._acked is None:
            # Read at once: after a start every agent of a city speaks within seconds.
            known = self._store.some(MAX_CACHED)
            self._acked = OrderedDict((_of(cursor), cursor.acked_seq) for cursor in known)
            self._holds_all = len(known) < MAX_CACHED
        return self._acked


def _key(number: Numbered) -> SpoolKey:
    return number.agent_id, number.stream, number.spool_id


def _of(cursor: Cursor) -> SpoolKey:
    return cursor.agent_id, cursor.stream, cursor.spool_id
