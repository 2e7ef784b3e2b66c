"""One load box without its transport: real identity, keys, signatures and spool, pooled faces."""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from sim.light.agent import LightSettings, Outgoing
from sim.light.identity import LightIdentity
from sim.load.people import People
from sim.load.replies import Replies
from sim.load.spool import Batch, BatchSpool
from sim.load.tally import Latencies, Tally
from wire import messages as m
from wire.errors import WireError
from wire.ids import derived_uuid7, uuid7
from wire.limits import MAX_SIGHTINGS_PER_BATCH
from wire.sealing import open_sealed
from wire.signing import peek, sign, verify
from wire.times import epoch_of_us
from wire.topics import agent_topic, parse_topic

_LOG: Final = logging.getLogger(__name__)
_RECEIVED: Final = ("acks", "keys", "queries")
_VERSION: Final = "load-1"


@dataclass(frozen=True, slots=True)
class Seen:
    """Somebody who passed a box: the pool's member, and from when to when."""

    walker: int
    start_us: int
    end_us: int


@dataclass(slots=True)
class Kit:
    """What the boxes of one process share.

    `sample`: 0..1 at each call; an acknowledgement's signature is checked if it is below
    `checked_share` (1: always), its content always. Batches published before `measured_from_s` or
    after `measured_until_s` have no latency. `note` is told of every new sighting.
    """

    settings: LightSettings
    people: People
    tally: Tally
    latencies: Latencies
    sample: "Sample"
    checked_share: float = 1.0
    measured_from_s: float = -math.inf
    measured_until_s: float = math.inf
    note: Callable[[Sequence[m.Sighting]], None] = lambda _: None

    def measures(self, sent_s: float) -> bool:
        """Tell whether a batch published at this time counts for the latencies."""
        return self.measured_from_s <= sent_s <= self.measured_until_s


class Sample:
    """Evenly spread numbers 0..1 (multiples of the golden ratio): cheap and repeatable."""

    __slots__ = ("_at",)

    def __init__(self, start: float = 0.0) -> None:
        self._at = start

    def __call__(self) -> float:
        self._at = (self._at + 0.618033988749895) % 1.0
        return self._at


class Box:
    """Collects sightings, seals them into signed batches, and keeps each until it is acknowledged.

    At most 64 sightings wait for a batch; beyond that, and while its spool is full, more are
    refused (`arrive` is false) and counted as held back.
    """

    __slots__ = ("_bd_seq", "_entries", "_key", "_kit", "_last_start_us", "_made",
                 "_replies", "_started_us", "identity", "spool", "waiting")  # fmt: skip

    def __init__(self, identity: LightIdentity, kit: Kit, now_us: int) -> None:
        self.identity: Final = identity
        self.spool: Final = BatchSpool(uuid7(unix_ms=now_us // 1_000))
        self.waiting: list[Seen] = []
        self._kit = kit
        self._entries: dict[int, tuple[int, bytes]] = {}
        self._key: tuple[int, int, bytes] | None = None
        self._started_us = now_us
        self._bd_seq = now_us // 1_000
        self._last_start_us = 0
        self._made = 0
        self._replies: Replies | None = None

    @property
    def agent_id(self) -> str:
        """The name under which it is registered."""
        return self.identity.agent_id

    @property
    def keyed(self) -> bool:
        """Whether the controller has delivered keys to it."""
        return bool(self._entries)

    @property
    def subscriptions(self) -> list[tuple[str, int]]:
        """The topics that it listens to, with their QoS."""
        return [(agent_topic(self.agent_id, kind), 1) for kind in _RECEIVED]

    def next_will(self, now_us: int) -> Outgoing:
        """Begin a new connection (`bd_seq` grows) and return its last will."""
        self._bd_seq += 1
        return self._state(online=False, now_us=now_us)

    def birth(self, now_us: int) -> Outgoing:
        """Return the birth of this connection; everything under way is due again."""
        self.spool.rewind()
        if self._replies is not None:
            self._replies.spool.rewind()
        return self._state(online=True, now_us=now_us)

    def death(self, now_us: int) -> Outgoing:
        """Return the orderly end of this connection."""
        return self._state(online=False, now_us=now_us)

    def arrive(self, walker: int, now_us: int) -> bool:
        """Take one passer-by in whose tracklet has just ended; false if there is no room."""
        if len(self.waiting) >= MAX_SIGHTINGS_PER_BATCH:
            self._kit.tally.held_back += 1
            return False
        length_us = self._kit.people.walkers[walker].length_us
        # Never twice the same moment: camera and times make the id.
        start_us = max(now_us - length_us, self._last_start_us + 1)
        self._last_start_us = start_us
        self.waiting.append(Seen(walker, start_us, start_us + length_us))
        self._kit.tally.made += 1
        self._made += 1
        return True

    def can_seal(self, seen: Sequence[Seen]) -> bool:
        """Whether a batch of these can be made now: keys are here and the spool has room."""
        return not self.spool.full and all(epoch_of_us(s.start_us) in self._entries for s in seen)

    def take_waiting(self) -> list[Seen]:
        """Return what waits for a batch and begin anew."""
        taken, self.waiting = self.waiting, []
        return taken

    def seal(self, seen: Sequence[Seen], now_us: int, *, copy: bool = False) -> Batch:
        """Sign a batch of sightings and spool it; a `copy` repeats sightings sent before."""
        settings, identity = self._kit.settings, self.identity
        sightings = tuple(self.sighting(one) for one in seen)
        if not copy:
            self._kit.note(sightings)
        message = m.SightingBatch(
            agent_id=self.agent_id,
            spool_id=self.spool.spool_id,
            seq=self.spool.next_seq,
            sent_us=now_us,
            camera_id=identity.camera_id,
            shard=self._shard_key(epoch_of_us(seen[0].start_us))[0],
            space_id=settings.space_id,
            variant=settings.variant,
            sightings=sightings,
        )
        return self.spool.append(sign(message, identity.signing), 0 if copy else len(seen))

    def sighting(self, seen: Seen) -> m.Sighting:
        """Return what is published of one passer-by; the same for the same times."""
        epoch = epoch_of_us(seen.start_us)
        walker = self._kit.people.walkers[seen.walker]
        label = f"{self.identity.camera_id}|{seen.start_us}|{seen.end_us}"
        return m.Sighting(
            id=derived_uuid7(
                unix_ms=seen.start_us // 1_000, secret=self.identity.device_secret, label=label
            ),
            start_us=seen.start_us,
            end_us=seen.end_us,
            epoch=epoch,
            time_uncertainty_s=0.2,
            template=self._kit.people.templates(self._shard_key(epoch)[1])[seen.walker],
            mask_state=walker.mask_state,
            mask_probability=walker.mask_probability,
            quality=walker.quality,
            face_count=walker.face_count,
        )

    def due(self, now_s: float) -> list[tuple[Outgoing, Batch | None]]:
        """Return what to publish now: batches due (each with its entry) and replies."""
        batches = self.spool.take_due(now_s)
        topic = agent_topic(self.agent_id, "sightings") if batches else ""
        out: list[tuple[Outgoing, Batch | None]] = [
            (Outgoing(topic, batch.payload), batch) for batch in batches
        ]
        if self._replies is not None:
            out += [(reply, None) for reply in self._replies.due(now_s)]
        return out

    def receive(self, topic: str, payload: bytes, now_s: float, now_us: int) -> None:
        """Take one message in; what is not the controller's is dropped, counted and logged."""
        try:
            kind = parse_topic(topic).kind
            if kind == "acks":
                self._take_ack(payload, now_s)
            elif kind == "keys":
                self._take_keys(payload)
            elif kind == "queries":
                self._answer(payload, now_us)
        except WireError as error:
            self._kit.tally.dropped_messages += 1
            _LOG.warning("event=dropped agent=%s topic=%s why=%s", self.agent_id, topic, error)

    def health(self, now_us: int) -> Outgoing:
        """Return the box's figures."""
        health = m.Health(
            agent_id=self.agent_id,
            at_us=now_us,
            started_us=self._started_us,
            sightings_total=self._made,
            spool_batches=len(self.spool),
            spool_bytes=self.spool.pending_bytes,
            clock_offset_s=0.0,
        )
        return Outgoing(agent_topic(self.agent_id, "health"), sign(health, self.identity.signing))

    def _take_ack(self, payload: bytes, now_s: float) -> None:
        key = self._kit.settings.controller_key
        checked = self._kit.sample() < self._kit.checked_share
        ack = verify(m.Ack, payload, key) if checked else peek(m.Ack, payload)
        self._kit.tally.acks += 1
        if ack.agent_id != self.agent_id:
            return
        replies = self._replies.spool if self._replies is not None else None
        if replies is not None and ack.spool_id == replies.spool_id:
            replies.acknowledge(ack.acked_seq)
        elif ack.spool_id == self.spool.spool_id:
            self._count_acked(self.spool.acknowledge(ack.acked_seq, now_s), now_s)

    def _count_acked(self, batches: Sequence[Batch], now_s: float) -> None:
        for batch in batches:
            self._kit.tally.acked += batch.count
            sent_s = batch.sent_s
            if batch.count and sent_s is not None and self._kit.measures(sent_s):
                self._kit.latencies.add(now_s - sent_s, batch.count)

    def _take_keys(self, payload: bytes) -> None:
        delivery = verify(m.KeyDelivery, payload, self._kit.settings.controller_key)
        if delivery.agent_id == self.agent_id:
            self._entries = {one.epoch: (one.shard, one.sealed) for one in delivery.keys}
            self._key = None

    def _shard_key(self, epoch: int) -> tuple[int, bytes]:
        """Return the shard and its key; opened when first needed, the last one is kept."""
        if self._key is None or self._key[0] != epoch:
            shard, sealed = self._entries[epoch]
            associated = f"{self.agent_id}|{epoch}|{shard}".encode()
            opened = open_sealed(sealed, self.identity.sealing, associated=associated)
            self._key = (epoch, shard, opened)
        return self._key[1], self._key[2]

    def _answer(self, payload: bytes, now_us: int) -> None:
        self._kit.tally.queries += 1
        if self._replies is None:
            key = self._kit.settings.controller_key
            self._replies = Replies(self.identity, key, now_us)
        self._replies.answer(payload, now_us)

    def _state(self, *, online: bool, now_us: int) -> Outgoing:
        settings = self._kit.settings
        state = m.AgentState(
            agent_id=self.agent_id,
            online=online,
            bd_seq=self._bd_seq,
            since_us=now_us,
            camera_id=self.identity.camera_id,
            model_pack_id=settings.model_pack_id,
            space_id=settings.space_id,
            variant=settings.variant,
            version=_VERSION,
            device="load",
        )
        payload = sign(state, self.identity.signing)
        return Outgoing(agent_topic(self.agent_id, "state"), payload, retain=True)
