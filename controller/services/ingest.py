"""From MQTT messages to durable sightings, exactly once, with signed acknowledgements.

The order is the guarantee: verify -> durable insert -> durable cursor -> PUBACK -> signed ack. A
crash between any two steps makes the agent send again, and sending again changes nothing.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from controller.logs import facts
from controller.services.ports import (
    AgentDirectory,
    Clock,
    Cursor,
    CursorStore,
    Delivery,
    FleetSeen,
    GalleryRow,
    GalleryWriter,
    Publisher,
    QuarantineStore,
    ReplyStore,
)
from wire.errors import WireError
from wire.messages import Ack, AgentState, Health, Reply, SightingBatch, Stream, WireModel
from wire.signing import sign, verify
from wire.times import epoch_of_us
from wire.topics import agent_topic, parse_topic

log = logging.getLogger("controller.ingest")

QUEUE_LIMIT: Final = 2_000
"""Messages taken from the broker but not dealt with. When full the MQTT thread waits, nothing is
acknowledged, and the broker holds back (its in-flight limit): nothing is dropped."""
GROUP_SIGHTINGS: Final = 5_000
GROUP_WAIT_S: Final = 0.1
MAX_AHEAD: Final = 1_000
"""Numbers remembered beyond a gap per spool; more are inserted but must be sent again."""
RETRY_S: Final = 1.0
FUTURE_SLACK_DAYS: Final = 1


class MessageRefused(WireError):
    """A message is well signed, but says what it may not."""


@dataclass(slots=True)
class IngestCounters:
    """Counters since the start of this process; they only grow."""

    sightings_total: int = 0
    batches_total: int = 0
    repeated_batches_total: int = 0
    refused_total: int = 0
    replies_total: int = 0
    failures_total: int = 0


@dataclass(slots=True)
class _Group:
    rows: list[GalleryRow] = field(default_factory=list)
    seqs: dict[tuple[str, UUID], list[int]] = field(default_factory=dict)
    settle: list[Callable[[], None]] = field(default_factory=list)


class Ingest:
    """One worker thread behind a bounded queue."""

    def __init__(
        self,
        *,
        directory: AgentDirectory,
        gallery: GalleryWriter,
        cursors: CursorStore,
        quarantine: QuarantineStore,
        replies: ReplyStore,
        fleet: FleetSeen,
        publisher: Publisher,
        signing: Ed25519PrivateKey,
        clock: Clock,
        retention_days: int,
        on_reply: Callable[[UUID], None] = lambda _query_id: None,
    ) -> None:
        self._directory, self._gallery, self._cursors = directory, gallery, cursors
        self._quarantine, self._replies, self._fleet = quarantine, replies, fleet
        self._publisher, self._signing, self._clock = publisher, signing, clock
        self._retention_days, self._on_reply = retention_days, on_reply
        self._queue: queue.Queue[Delivery] = queue.Queue(QUEUE_LIMIT)
        self._ahead: dict[tuple[str, str, UUID], set[int]] = {}
        self._stop = threading.Event()
        self._worker = threading.Thread(target=self._run, name="ingest", daemon=True)
        self.counters = IngestCounters()

    def start(self) -> None:
        """Start the worker."""
        self._worker.start()

    def stop(self) -> None:
        """Stop after the group in work; what is queued stays unacknowledged at the broker."""
        self._stop.set()
        self._worker.join(timeout=30.0)

    def deliver(self, delivery: Delivery) -> None:
        """Take a message from the MQTT thread; waits while the queue is full."""
        while not self._stop.is_set():
            try:
                self._queue.put(delivery, timeout=0.5)
                return
            except queue.Full:
                continue

    def _run(self) -> None:
        while not self._stop.is_set():
            deliveries = self._collect()
            if deliveries:
                self._until_done(deliveries)

    def _until_done(self, deliveries: Sequence[Delivery]) -> None:
        # A full disk or a locked database passes; until then nothing is acknowledged.
        while not self._stop.is_set():
            try:
                self._handle(deliveries)
                return
            except Exception:
                self.counters.failures_total += 1
                log.exception("ingest failed, trying again", extra=facts(held=len(deliveries)))
                self._stop.wait(RETRY_S)

    def _collect(self) -> list[Delivery]:
        try:
            found = [self._queue.get(timeout=0.2)]
        except queue.Empty:
            return []
        deadline = time.monotonic() + GROUP_WAIT_S
        while len(found) * 64 < GROUP_SIGHTINGS:
            try:
                found.append(self._queue.get(timeout=max(0.0, deadline - time.monotonic())))
            except queue.Empty:
                break
        return found

    def _handle(self, deliveries: Sequence[Delivery]) -> None:
        group = _Group()
        for delivery in deliveries:
            try:
                self._one(delivery, group)
            except WireError as error:
                self._refuse(delivery, str(error))
        self._gallery.insert(group.rows)
        moved = [
            self._advance(agent_id, "sightings", spool_id, seqs)
            for (agent_id, spool_id), seqs in group.seqs.items()
        ]
        self._cursors.advance(moved)
        self.counters.sightings_total += len(group.rows)
        for settle in group.settle:
            settle()
        for cursor in moved:
            self._acknowledge(cursor)

    def _one(self, delivery: Delivery, group: _Group) -> None:
        parsed = parse_topic(delivery.topic)
        agent = self._directory.facts(parsed.agent_id)
        if agent is None:
            raise MessageRefused(f"agent_id {parsed.agent_id}: is not registered")
        key = Ed25519PublicKey.from_public_bytes(agent.signing_public)
        if parsed.kind == "sightings":
            batch = verify(SightingBatch, delivery.payload, key)
            _same_agent(batch.agent_id, parsed.agent_id)
            try:
                self._check_batch(batch, agent.camera_id, agent.shard)
            except MessageRefused as error:
                # Its own agent signed it, so it is kept in quarantine and acknowledged: else the
                # gap would hold back everything that the agent says after it.
                self._quarantined(delivery, str(error))
                group.seqs.setdefault((batch.agent_id, batch.spool_id), []).append(batch.seq)
            else:
                self._take_batch(batch, group)
        elif parsed.kind == "replies":
            reply = verify(Reply, delivery.payload, key)
            _same_agent(reply.agent_id, parsed.agent_id)
            self._take_reply(reply)
        elif parsed.kind == "state":
            state = verify(AgentState, delivery.payload, key)
            _same_agent(state.agent_id, parsed.agent_id)
            self._fleet.saw_state(state, self._clock.now_us())
        elif parsed.kind == "health":
            health = verify(Health, delivery.payload, key)
            _same_agent(health.agent_id, parsed.agent_id)
            self._fleet.saw_health(health, self._clock.now_us())
        group.settle.append(delivery.settle)

    def _check_batch(self, batch: SightingBatch, camera_id: str, shard: int) -> None:
        if batch.camera_id != camera_id:
            raise MessageRefused("camera_id: is not this agent's camera")
        if batch.shard != shard:
            raise MessageRefused("shard: is not this agent's shard")
        today = epoch_of_us(self._clock.now_us())
        for sighting in batch.sightings:
            if sighting.epoch != epoch_of_us(sighting.start_us):
                raise MessageRefused("epoch: is not the day of start_us")
            if not today - self._retention_days <= sighting.epoch <= today + FUTURE_SLACK_DAYS:
                raise MessageRefused("epoch: outside the retention period; check the clock")

    def _take_batch(self, batch: SightingBatch, group: _Group) -> None:
        self.counters.batches_total += 1
        stored = self._cursors.cursor(batch.agent_id, "sightings", batch.spool_id)
        group.seqs.setdefault((batch.agent_id, batch.spool_id), []).append(batch.seq)
        if batch.seq <= stored:
            self.counters.repeated_batches_total += 1
            return
        now_us = self._clock.now_us()
        group.rows.extend(
            GalleryRow(
                id=s.id, agent_id=batch.agent_id, camera_id=batch.camera_id, epoch=s.epoch,
                shard=batch.shard, start_us=s.start_us, end_us=s.end_us,
                time_uncertainty_s=s.time_uncertainty_s, space_id=batch.space_id,
                variant=batch.variant, template=s.template, mask_state=s.mask_state.value,
                mask_probability=s.mask_probability, quality=s.quality,
                face_count=s.face_count, received_us=now_us,
            )
            for s in batch.sightings
        )  # fmt: skip

    def _take_reply(self, reply: Reply) -> None:
        self._replies.add_reply(reply, self._clock.now_us())
        self.counters.replies_total += 1
        cursor = self._advance(reply.agent_id, "replies", reply.spool_id, [reply.seq])
        self._cursors.advance([cursor])
        self._acknowledge(cursor)
        self._on_reply(reply.query_id)

    def _advance(self, agent_id: str, stream: str, spool_id: UUID, seqs: Sequence[int]) -> Cursor:
        """Move a cursor over the gap-free prefix of what has come; remember what lies beyond."""
        acked = self._cursors.cursor(agent_id, stream, spool_id)
        ahead = self._ahead.pop((agent_id, stream, spool_id), set())
        ahead.update(seq for seq in seqs if seq > acked)
        while acked + 1 in ahead:
            acked += 1
            ahead.remove(acked)
        if ahead:
            self._ahead[agent_id, stream, spool_id] = set(sorted(ahead)[:MAX_AHEAD])
        return Cursor(agent_id, stream, spool_id, acked)

    def _acknowledge(self, cursor: Cursor) -> None:
        ack = Ack(
            agent_id=cursor.agent_id, stream=Stream(cursor.stream), spool_id=cursor.spool_id,
            acked_seq=cursor.acked_seq, issued_us=self._clock.now_us(),
        )  # fmt: skip
        self._send(agent_topic(cursor.agent_id, "acks"), ack)

    def _send(self, topic: str, message: WireModel) -> None:
        self._publisher.publish(topic, sign(message, self._signing))

    def _refuse(self, delivery: Delivery, reason: str) -> None:
        self._quarantined(delivery, reason)
        delivery.settle()

    def _quarantined(self, delivery: Delivery, reason: str) -> None:
        self.counters.refused_total += 1
        self._quarantine.add(
            at_us=self._clock.now_us(), topic=delivery.topic[:256], reason=reason[:512],
            payload=delivery.payload,
        )  # fmt: skip
        log.warning("message refused", extra=facts(topic=delivery.topic, reason=reason))


def _same_agent(named: str, topic: str) -> None:
    if named != topic:
        raise MessageRefused(f"agent_id {named}: published on the topic of {topic}")
