"""After a restore: numbers that will never come, because the lost controller acknowledged them.

A restored cursor says 100; the agent was acknowledged up to 150 afterwards and erased what it had
up to there, so it begins at 151. Whatever it still has it sends again within two minutes. So once
numbers ahead of the gap have been there for `PATIENCE_S` and the gap has not begun to close, its
numbers are gone for good, and counting goes on behind them. Once per spool, and for
`WATCHED_S` after the restore only; at any other time a gap is waited for without end.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from controller.services.ports import Cursor

_LOG: Final = logging.getLogger(__name__)
PATIENCE_S: Final = 600.0
WATCHED_S: Final = 30 * 86_400.0
MAX_SPOOLS: Final = 65_536
"""Spools remembered; beyond it the oldest are forgotten and would be looked at again."""
SpoolKey = tuple[str, str, object]


@dataclass(slots=True)
class _Spool:
    acked: int
    since_us: int
    done: bool = False


class RestoredGaps:
    """Says where a spool's counting goes on; `restored_us` None: never restored, nothing to do."""

    def __init__(self, restored_us: int | None, now_us: Callable[[], int]) -> None:
        self._restored_us, self._now_us = restored_us, now_us
        self._spools: OrderedDict[SpoolKey, _Spool] = OrderedDict()

    def base(self, cursor: Cursor, ahead: set[int]) -> int:
        """Return the number up to which a spool counts as settled: `acked_seq`, or further on.

        `ahead`: the numbers beyond `acked_seq` that are there. The same answer until it is stored.
        """
        now_us = self._now_us()
        if self._restored_us is None or now_us > self._restored_us + WATCHED_S * 1e6:
            return cursor.acked_seq
        key = (cursor.agent_id, cursor.stream, cursor.spool_id)
        spool = self._spools.get(key)
        if spool is None:
            spool = self._spools[key] = _Spool(cursor.acked_seq, now_us)
            while len(self._spools) > MAX_SPOOLS:
                self._spools.popitem(last=False)
        if spool.acked != cursor.acked_seq or cursor.acked_seq + 1 in ahead:
            # It moved, or has no gap: from now on this spool is like any other.
            spool.done = True
        if spool.done or not ahead or now_us - spool.since_us < PATIENCE_S * 1e6:
            return cursor.acked_seq
        first = min(ahead)
        _LOG.warning("event=gap_of_restore_passed agent=%s stream=%s after=%d until=%d",
                     cursor.agent_id, cursor.stream, cursor.acked_seq, first)  # fmt: skip
        return first - 1
