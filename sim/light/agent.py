"""One light agent without its transport: what it publishes when, and how it answers."""

import logging
from collections import deque
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sim.light.identity import LightIdentity
from sim.light.queries import Answer, Kept, QueryDesk
from sim.light.spool import Spool
from sim.light.strangers import Passage
from wire import messages as m
from wire.errors import WireError
from wire.ids import derived_uuid7, uuid7
from wire.protection import protect, template_to_bytes
from wire.sealing import open_sealed
from wire.signing import sign, verify
from wire.times import epoch_of_us
from wire.topics import agent_topic, parse_topic, reply_topic

_LOG: Final = logging.getLogger(__name__)
_HEALTH_EVERY_S: Final = 20.0
_RECEIVED: Final = ("queries", "acks", "keys")


@dataclass(frozen=True, slots=True)
class LightSettings:
    """What all light agents share."""

    controller_key: Ed25519PublicKey
    space_id: str
    variant: str
    model_pack_id: str
    batch_size: int = 16


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to publish with QoS 1."""

    topic: str
    payload: bytes
    retain: bool = False


class LightAgent:
    """Publishes one camera's passages once it has keys, until each batch is acknowledged.

    Passages are released between `start_s` and `start_s + spread_s` of the caller's monotonic
    clock, so that 500 agents do not speak at once.
    """

    def __init__(
        self,
        identity: LightIdentity,
        settings: LightSettings,
        passages: tuple[Passage, ...],
        *,
        now_us: int,
        release_s: tuple[float, ...],
    ) -> None:
        self.identity: Final = identity
        self.produced: list[UUID] = []
        self._settings = settings
        self._waiting = deque(zip(release_s, _batches(passages, settings.batch_size), strict=False))
        self._total = len(passages)
        self._keys: dict[int, tuple[int, bytes]] = {}
        self._kept: list[Kept] = []
        self._desk = QueryDesk(identity, settings.controller_key)
        self._sightings = Spool(uuid7(unix_ms=now_us // 1_000))
        self._replies = Spool(uuid7(unix_ms=now_us // 1_000))
        self._started_us = now_us
        self._bd_seq = now_us // 1_000
        self._health_due_s = 0.0

    @property
    def subscriptions(self) -> list[tuple[str, int]]:
        """The topics that this agent listens to, with their QoS."""
        return [(agent_topic(self.identity.agent_id, kind), 1) for kind in _RECEIVED]

    @property
    def total(self) -> int:
        """How many sightings this agent has to publish in all."""
        return self._total

    @property
    def acked(self) -> int:
        """How many of its sightings the controller has acknowledged."""
        return self._sightings.acked_count

    def next_will(self, now_us: int) -> Outgoing:
        """Begin a new connection (`bd_seq` grows) and return its last will."""
        self._bd_seq += 1
        return self._state(online=False, now_us=now_us)

    def birth(self, now_us: int) -> Outgoing:
        """Return the birth of this connection; everything unacknowledged becomes due again."""
        self._sightings.rewind()
        self._replies.rewind()
        return self._state(online=True, now_us=now_us)

    def death(self, now_us: int) -> Outgoing:
        """Return the orderly end of this connection."""
        return self._state(online=False, now_us=now_us)

    def receive(self, topic: str, payload: bytes, now_us: int) -> None:
        """Take one message in; what is not signed by the controller is dropped and logged."""
        kind = parse_topic(topic).kind
        try:
            if kind == "keys":
                self._take_keys(payload)
            elif kind == "acks":
                self._take_ack(payload)
            elif kind == "queries":
                self._answer(payload, now_us)
        except WireError as error:
            _LOG.warning("event=dropped agent=%s kind=%s why=%s", self._name, kind, error)

    def due(self, now_s: float, now_us: int) -> list[Outgoing]:
        """Return what to publish now: due sightings, replies and health."""
        self._release(now_s, now_us)
        streams = (self._replies, self._sightings)
        out = [Outgoing(t, p) for spool in streams for t, p in spool.take_due(now_s)]
        if now_s >= self._health_due_s:
            self._health_due_s = now_s + _HEALTH_EVERY_S
            out.append(self._health(now_us))
        return out

    @property
    def _name(self) -> str:
        return self.identity.agent_id

    def _release(self, now_s: float, now_us: int) -> None:
        while self._waiting and self._waiting[0][0] <= now_s:
            batch = self._waiting[0][1]
            if any(epoch_of_us(passage.start_us) not in self._keys for passage in batch):
                return
            self._waiting.popleft()
            self._publish(batch, now_us)

    def _publish(self, batch: tuple[Passage, ...], now_us: int) -> None:
        sightings = tuple(self._sighting(passage) for passage in batch)
        shard = self._keys[sightings[0].epoch][0]
        self._kept += [Kept(sighting, shard) for sighting in sightings]
        self.produced += [sighting.id for sighting in sightings]
        message = m.SightingBatch(
            agent_id=self._name,
            spool_id=self._sightings.spool_id,
            seq=self._sightings.next_seq,
            sent_us=now_us,
            camera_id=self.identity.camera_id,
            shard=shard,
            space_id=self._settings.space_id,
            variant=self._settings.variant,
            sightings=sightings,
        )
        payload = sign(message, self.identity.signing)
        self._sightings.append(agent_topic(self._name, "sightings"), payload, count=len(sightings))

    def _sighting(self, passage: Passage) -> m.Sighting:
        epoch = epoch_of_us(passage.start_us)
        template = protect(passage.embedding[None], self._keys[epoch][1])[0]
        label = f"{self.identity.camera_id}|{passage.start_us}|{passage.end_us}"
        return m.Sighting(
            id=derived_uuid7(
                unix_ms=passage.start_us // 1_000, secret=self.identity.device_secret, label=label
            ),
            start_us=passage.start_us,
            end_us=passage.end_us,
            epoch=epoch,
            time_uncertainty_s=0.2,
            template=template_to_bytes(np.ascontiguousarray(template)),
            mask_state=passage.mask_state,
            mask_probability=passage.mask_probability,
            quality=passage.quality,
            face_count=passage.face_count,
        )

    def _take_keys(self, payload: bytes) -> None:
        delivery = verify(m.KeyDelivery, payload, self._settings.controller_key)
        if delivery.agent_id != self._name:
            return
        self._keys = {entry.epoch: self._open_key(entry) for entry in delivery.keys}

    def _open_key(self, entry: m.SealedEpochKey) -> tuple[int, bytes]:
        associated = f"{self._name}|{entry.epoch}|{entry.shard}".encode()
        return entry.shard, open_sealed(entry.sealed, self.identity.sealing, associated=associated)

    def _take_ack(self, payload: bytes) -> None:
        ack = verify(m.Ack, payload, self._settings.controller_key)
        spool = self._replies if ack.stream is m.Stream.REPLIES else self._sightings
        if ack.agent_id == self._name and ack.spool_id == spool.spool_id:
            spool.acknowledge(ack.acked_seq)

    def _answer(self, payload: bytes, now_us: int) -> None:
        answer = self._desk.answer(payload, self._kept, now_us)
        if answer is None:
            _LOG.warning("event=dropped agent=%s kind=queries why=unreadable", self._name)
            return
        _LOG.info(
            "event=answered agent=%s query=%s status=%s reason=%s",
            self._name, answer.query_id, answer.status.value, answer.reason or "-",
        )  # fmt: skip
        self._spool_reply(answer)

    def _spool_reply(self, answer: Answer) -> None:
        reply = m.Reply(
            query_id=answer.query_id,
            agent_id=self._name,
            spool_id=self._replies.spool_id,
            seq=self._replies.next_seq,
            status=answer.status,
            reason=answer.reason,
            body=answer.body,
        )
        topic = reply_topic(self._name, answer.query_id.hex)
        self._replies.append(topic, sign(reply, self.identity.signing))

    def _state(self, *, online: bool, now_us: int) -> Outgoing:
        state = m.AgentState(
            agent_id=self._name,
            online=online,
            bd_seq=self._bd_seq,
            since_us=now_us,
            camera_id=self.identity.camera_id,
            model_pack_id=self._settings.model_pack_id,
            space_id=self._settings.space_id,
            variant=self._settings.variant,
            version="light-1",
            device="light",
        )
        payload = sign(state, self.identity.signing)
        return Outgoing(agent_topic(self._name, "state"), payload, retain=True)

    def _health(self, now_us: int) -> Outgoing:
        health = m.Health(
            agent_id=self._name,
            at_us=now_us,
            started_us=self._started_us,
            sightings_total=len(self.produced),
            spool_batches=len(self._sightings) + len(self._replies),
            spool_bytes=self._sightings.pending_bytes + self._replies.pending_bytes,
            clock_offset_s=0.0,
            source_ended=not self._waiting,
        )
        return Outgoing(agent_topic(self._name, "health"), sign(health, self.identity.signing))


def _batches(passages: tuple[Passage, ...], size: int) -> list[tuple[Passage, ...]]:
    # A batch has one shard, and a day is one epoch: passages of one batch share their key.
    return [passages[i : i + size] for i in range(0, len(passages), size)]
