"""From MQTT messages to durable sightings, exactly once, with signed acknowledgements.

The order is the guarantee: verify -> durable insert -> durable cursor -> PUBACK -> signed ack. A
crash between any two steps makes the agent send again, and sending again changes nothing. The
same holds when worker processes verify: they hand over, and PUBACK only at this thread's word.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from controller.errors import ControllerError
from controller.logs import facts
from controller.services.clock_offsets import ClockOffsets
from controller.services.ingest_batches import ACKNOWLEDGED, Reason, Refused
from controller.services.ingest_checks import Checker
from controller.services.ingest_group import Group, Sorter
from controller.services.ingest_order import Progress
from controller.services.ingest_ports import Meter, Quarantined, QuarantineStore
from controller.services.ingest_queue import Item, Waiting
from controller.services.ports import (
    Clock,
    Cursor,
    CursorStore,
    FleetSeen,
    GalleryWriter,
    Publisher,
    ReplyStore,
)
from controller.services.restored_gaps import RestoredGaps
from wire.messages import Ack, Health, Stream
from wire.signing import sign
from wire.topics import agent_topic

log = logging.getLogger("controller.ingest")
RETRY_S: Final = 1.0
"""Between two tries of a group that could not be stored. There is no last try: a full disk or a
locked database passes, and until then nothing is acknowledged."""
COMPLAIN_EVERY_S: Final = 60.0
_MAX_TOPIC_CHARS: Final = 256
Made = TypeVar("Made")


@dataclass(slots=True)
class IngestCounters:
    """Counters since the start of this process; they only grow.

    `held_back_total`: refused, but not kept for want of room, so not acknowledged either.
    """

    sightings_total: int = 0
    batches_total: int = 0
    repeated_batches_total: int = 0
    refused_total: int = 0
    held_back_total: int = 0
    replies_total: int = 0
    failures_total: int = 0


@dataclass(frozen=True, slots=True)
class IngestParts:
    """What ingest is built from; `on_reply` hears of each durable reply's query.

    `restored_us`: when the records were restored from a backup, if they were.
    """

    checker: Checker
    gallery: GalleryWriter
    cursors: CursorStore
    quarantine: QuarantineStore
    replies: ReplyStore
    fleet: FleetSeen
    publisher: Publisher
    signing: Ed25519PrivateKey
    clock: Clock
    offsets: ClockOffsets
    meter: Meter
    on_reply: Callable[[UUID], None] = lambda _query_id: None
    restored_us: int | None = None


class Ingest:
    """One thread behind a bounded queue."""

    def __init__(self, parts: IngestParts) -> None:
        self._parts = parts
        self._stop = threading.Event()
        self._waiting = Waiting(self._stop.is_set)
        gaps = RestoredGaps(parts.restored_us, parts.clock.now_us)
        self._progress = Progress(parts.cursors, gaps)
        self._sorter = Sorter(parts.checker, self._progress, parts.offsets, parts.clock)
        self._thread = threading.Thread(target=self._run, name="ingest", daemon=True)
        self.counters = IngestCounters()
        self.refused_by_reason: Counter[Reason] = Counter()
        self.last_insert_us: int | None = None
        self._said: tuple[type[Exception] | None, float] = (None, 0.0)

    @property
    def queue_depth(self) -> int:
        """How many items wait."""
        return len(self._waiting)

    @property
    def spools_ahead(self) -> int:
        """How many spools have a gap now."""
        return self._progress.spools_ahead

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the group in work; what is queued stays unacknowledged at the broker."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=30.0)

    def deliver(self, item: Item) -> None:
        """Take a raw message, or checked ones from a worker; waits while the queue is full."""
        self._waiting.put(item)

    def _run(self) -> None:
        while not self._stop.is_set():
            items = self._waiting.group()
            if items:
                self._take(items)

    def _take(self, items: list[Item]) -> None:
        group = self._until_done(lambda: self._sorter.sort(items), len(items))
        if group is None:
            return
        cursors = self._until_done(lambda: self._store(group), len(items))
        if cursors is not None:
            self._tell(group, cursors)

    def _until_done(self, work: Callable[[], Made], held: int) -> Made | None:
        while not self._stop.is_set():
            try:
                return work()
            except Exception as error:  # noqa: BLE001 - a full disk, a locked database: it passes
                self.counters.failures_total += 1
                self._complain(error, held)
                self._stop.wait(RETRY_S)
        return None

    def _complain(self, error: Exception, held: int) -> None:
        """Log a failure, the same kind of it once a minute: a full disk may take hours."""
        now_s = time.monotonic()
        kind, said_s = self._said
        if type(error) is kind and now_s < said_s + COMPLAIN_EVERY_S:
            return
        self._said = (type(error), now_s)
        expected = isinstance(error, ControllerError)
        log.error(
            "ingest failed, trying again",
            extra=facts(held=held, error=str(error) if expected else type(error).__name__),
            exc_info=None if expected else error,
        )

    def _store(self, group: Group) -> list[Cursor]:
        """Make a group durable and return where its spools stand; may be done again."""
        parts = self._parts
        began_s = time.perf_counter()
        if group.rows:
            parts.gallery.insert(group.rows)
        insert_s = time.perf_counter() - began_s
        self._quarantine(group)
        now_us = parts.clock.now_us()
        for reply in group.replies:
            parts.replies.add_reply(reply, now_us)
        step = self._progress.plan(group.numbers)
        self._progress.store(step)
        if group.rows:
            self.last_insert_us = now_us
            delays_s = [max(0.0, (now_us - sent_us) / 1e6) for sent_us in group.sent_us]
            parts.meter.stored(len(group.rows), insert_s, delays_s)
        return step.cursors

    def _quarantine(self, group: Group) -> None:
        if not group.refused:
            return
        now_us = self._parts.clock.now_us()
        kept = self._parts.quarantine.add([_kept(one, now_us) for one in group.refused])
        for one, is_kept in zip(group.refused, kept, strict=True):
            self.counters.refused_total += 1
            self.refused_by_reason[one.reason] += 1
            log.warning("message refused", extra=facts(topic=one.topic, reason=one.text))
            if one.number is not None and one.reason in ACKNOWLEDGED:
                if is_kept:
                    group.numbers.add(one.number)
                else:
                    self.counters.held_back_total += 1
        # Done: should a later step fail, they are not kept twice.
        group.refused.clear()

    def _tell(self, group: Group, cursors: list[Cursor]) -> None:
        parts, now_us = self._parts, self._parts.clock.now_us()
        self.counters.sightings_total += len(group.rows)
        self.counters.batches_total += group.batches
        self.counters.repeated_batches_total += group.repeated
        self.counters.replies_total += len(group.replies)
        for settle in group.settle:
            self._safely(settle)
        for cursor in cursors:
            self._safely(partial(self._acknowledge, cursor, now_us))
        for message in group.heard:
            self._safely(
                partial(parts.fleet.saw_health, message, now_us)
                if isinstance(message, Health)
                else partial(parts.fleet.saw_state, message, now_us)
            )
        for reply in group.replies:
            self._safely(partial(parts.on_reply, reply.query_id))

    def _safely(self, tell: Callable[[], object]) -> None:
        # The group is durable: whoever did not hear of it asks again, and the others must hear.
        try:
            tell()
        except Exception:
            self.counters.failures_total += 1
            log.exception("could not tell", extra=facts())

    def _acknowledge(self, cursor: Cursor, now_us: int) -> None:
        ack = Ack(
            agent_id=cursor.agent_id, stream=Stream(cursor.stream), spool_id=cursor.spool_id,
            acked_seq=cursor.acked_seq, issued_us=now_us,
        )  # fmt: skip
        topic = agent_topic(cursor.agent_id, "acks")
        self._parts.publisher.publish(topic, sign(ack, self._parts.signing))


def _kept(one: Refused, at_us: int) -> Quarantined:
    return Quarantined(at_us, one.topic[:_MAX_TOPIC_CHARS], one.text, one.payload)
