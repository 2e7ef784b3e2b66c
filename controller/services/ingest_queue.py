"""What waits for the ingest thread, and how much of it makes one group."""

import queue
import time
from collections.abc import Callable
from typing import Final

from controller.services.ingest_batches import CheckedBatch, Handed
from controller.services.ports import Delivery
from wire import limits

Item = Delivery | Handed
QUEUE_LIMIT: Final = 2_000
"""Items taken from the broker or a worker but not dealt with. When full the giver waits, nothing is
acknowledged, and the broker holds back (its in-flight limit): nothing is dropped."""
GROUP_SIGHTINGS: Final = 5_000
GROUP_ITEMS: Final = 1_000
"""A group ends with either; what is beyond waits in the queue for the next."""
GROUP_WAIT_S: Final = 0.1
"""The longest that the first of a group waits for company; only while the queue is empty."""
WORTH_IT: Final = 16
QUIET_S: Final = 0.005
"""With so many messages in hand a pause of this length ends the wait: a broker whose in-flight
limit is reached (20 by default) sends nothing more until these are acknowledged."""
_IDLE_S: Final = 0.2


class Waiting:
    """A bounded queue whose groups are as large as the load: no wait when many wait."""

    def __init__(self, stopped: Callable[[], bool]) -> None:
        self._stopped = stopped
        self._queue: queue.Queue[Item] = queue.Queue(QUEUE_LIMIT)

    def __len__(self) -> int:
        return self._queue.qsize()

    def put(self, item: Item) -> bool:
        """Add an item; waits while the queue is full. False if ingest was stopped meanwhile."""
        while not self._stopped():
            try:
                self._queue.put(item, timeout=0.5)
            except queue.Full:
                continue
            return True
        return False

    def group(self) -> list[Item]:
        """Return the next items that are stored together; none after a quiet moment."""
        try:
            found = [self._queue.get(timeout=_IDLE_S)]
        except queue.Empty:
            return []
        deadline = time.monotonic() + GROUP_WAIT_S
        sightings, messages = _size(found[0])
        while sightings < GROUP_SIGHTINGS and messages < GROUP_ITEMS:
            wait_s = deadline - time.monotonic()
            if messages >= WORTH_IT:
                wait_s = min(wait_s, QUIET_S)
            try:
                item = self._queue.get(timeout=wait_s) if wait_s > 0 else self._queue.get_nowait()
            except queue.Empty:
                break
            found.append(item)
            more_sightings, more_messages = _size(item)
            sightings, messages = sightings + more_sightings, messages + more_messages
        return found


def _size(item: Item) -> tuple[int, int]:
    """Return about how many sightings an item holds, and how many messages."""
    if isinstance(item, Delivery):
        return 1 + len(item.payload) // limits.MAX_SIGHTING_BYTES, 1
    batches = [one.sightings for one in item.outcomes if isinstance(one, CheckedBatch)]
    return sum(batches), len(item.outcomes)
