"""A camera box that speaks the wire in-process: publishes what it saw and answers queries."""

import hashlib
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import numpy as np

from controller.services.ports import Delivery
from tests.integration.controller.world import Device, World
from wire import messages as m
from wire.codec import decode, encode
from wire.ids import uuid7
from wire.protection import dequantise, protect, template_from_bytes, template_to_bytes
from wire.sealing import open_sealed, seal
from wire.signing import peek, sign
from wire.times import epoch_of_us
from wire.topics import agent_topic, reply_topic

JPEG = b"\xff\xd8\xff\xe0 a redacted picture \xff\xd9"


@dataclass
class Seen:
    """One tracklet: whose vector, when, where on the ground (metres), masked or not."""

    vector: np.ndarray
    start_us: int
    end_us: int
    place_m: tuple[float, float]
    mask: m.MaskState = m.MaskState.UNMASKED
    id: UUID = field(default_factory=lambda: uuid7(unix_ms=0))


class Box:
    """Answers lookback and evidence queries as a real box would, from a list of tracklets."""

    def __init__(self, world: World, device: Device, seen: list[Seen]) -> None:
        self.world, self.device, self.seen = world, device, seen
        self.keys: dict[int, tuple[int, bytes]] = {}
        self.queries: list[m.Query] = []
        self.uploads: list[int] = []
        self._spool, self._seq = uuid7(unix_ms=1), 0
        self._away, self._missed = False, list[m.Query]()
        world.outbox.listeners.append(self.receive)
        world.controller.housekeeping.deliver_all()
        world.controller.housekeeping.tick()

    def receive(self, topic: str, payload: bytes) -> None:
        if topic == agent_topic(self.device.agent_id, "keys"):
            self._take_keys(peek(m.KeyDelivery, payload))
        if topic == agent_topic(self.device.agent_id, "queries"):
            query = peek(m.Query, payload)
            if self._away:
                self._missed.append(query)
            else:
                self._answer(query)

    def away(self) -> None:
        """Die after a birth: what is asked meanwhile waits, as it does at a broker."""
        self._say(online=True)
        self._say(online=False)
        self._away = True

    def back(self) -> int:
        """Come back and answer what was asked meanwhile; how many answers are on their way."""
        self._away, missed = False, self._missed
        self._say(online=True)
        for query in missed:
            self._answer(query)
        return len(missed)

    def _say(self, *, online: bool) -> None:
        state = m.AgentState(
            agent_id=self.device.agent_id, camera_id=self.device.camera_id, online=online,
            bd_seq=1, since_us=self.world.clock.now_us(), model_pack_id="pack",
            space_id="mfn192-arc5-w2", variant="float", version="1",
        )  # fmt: skip
        self._deliver(agent_topic(self.device.agent_id, "state"), state)

    def publish(self) -> None:
        """Hand all tracklets to ingest as one signed batch."""
        batch = m.SightingBatch(
            agent_id=self.device.agent_id,
            spool_id=uuid7(unix_ms=2),
            seq=1,
            sent_us=self.world.clock.now_us(),
            camera_id=self.device.camera_id,
            shard=0,
            space_id="mfn192-arc5-w2",
            variant="float",
            sightings=tuple(self._sighting(one) for one in self.seen),
        )
        self._deliver(agent_topic(self.device.agent_id, "sightings"), batch)

    def _take_keys(self, delivery: m.KeyDelivery) -> None:
        for entry in delivery.keys:
            associated = f"{self.device.agent_id}|{entry.epoch}|{entry.shard}".encode()
            key = open_sealed(entry.sealed, self.device.sealing, associated=associated)
            self.keys[entry.epoch] = (entry.shard, key)

    def _template(self, seen: Seen) -> bytes:
        key = self.keys[epoch_of_us(seen.start_us)][1]
        return template_to_bytes(np.ascontiguousarray(protect(seen.vector[None], key)[0]))

    def _sighting(self, seen: Seen) -> m.Sighting:
        return m.Sighting(
            id=seen.id, start_us=seen.start_us, end_us=seen.end_us,
            epoch=epoch_of_us(seen.start_us), time_uncertainty_s=0.1,
            template=self._template(seen), mask_state=seen.mask, mask_probability=0.1,
            quality=0.9, face_count=50,
        )  # fmt: skip

    def _answer(self, query: m.Query) -> None:
        self.queries.append(query)
        raw = open_sealed(query.sealed, self.device.sealing, associated=query.query_id.bytes)
        secrets = decode(m.QuerySecrets, raw)
        if query.kind is m.QueryKind.EVIDENCE:
            self._reply(query, self._evidence(secrets))
        else:
            self._reply(query, self._lookback(query, secrets))

    def _lookback(self, query: m.Query, secrets: m.QuerySecrets) -> m.LookbackBody:
        inside = [
            one for one in self.seen
            if one.end_us >= query.scope.start_us and one.start_us <= query.scope.end_us
        ]  # fmt: skip
        reports = [self._report(one, secrets) for one in inside]
        found = tuple(reports) if any(one.is_subject for one in reports) else ()
        return m.LookbackBody(
            camera_id=self.device.camera_id, camera_height_m=3.5, head_height_m=1.55,
            head_height_sd_m=0.12, frame_interval_s=1.0, tracklets=found,
        )  # fmt: skip

    def _report(self, seen: Seen, secrets: m.QuerySecrets) -> m.TrackletReport:
        own = dequantise(template_from_bytes(self._template(seen))[None])[0]
        epoch = epoch_of_us(seen.start_us)
        cosines = [
            (float(dequantise(template_from_bytes(p.template)[None])[0] @ own), p.min_similarity)
            for p in secrets.probes
            if p.epoch == epoch
        ]
        passes = any(cosine >= least for cosine, least in cosines)
        seconds = range(0, (seen.end_us - seen.start_us) // 1_000_000 + 1)
        x_mm, y_mm = (round(value * 1_000) for value in seen.place_m)
        return m.TrackletReport(
            tracklet_id=seen.id, is_subject=passes or seen.id in secrets.sighting_ids,
            similarity=max((min(c, 1.0) for c, _ in cosines), default=None),
            start_us=seen.start_us, end_us=seen.end_us, epoch=epoch, shard=0,
            time_uncertainty_s=0.1, template=self._template(seen), quality=0.9, face_count=50,
            path=tuple(
                m.PathPoint(offset_ms=s * 1_000, x_mm=x_mm, y_mm=y_mm, noise_sd_mm=50)
                for s in seconds
            ),
            masks=(m.MaskSpan(offset_ms=0, state=seen.mask, probability=0.1),),
        )  # fmt: skip

    def _evidence(self, secrets: m.QuerySecrets) -> m.EvidenceBody:
        items = []
        for tracklet_id in secrets.sighting_ids[: secrets.max_pictures]:
            evidence_id = uuid7(unix_ms=3)
            path = secrets.upload_url.removeprefix("http://127.0.0.1:8470")
            answer = self.world.http.put(
                f"{path}/{evidence_id}", content=JPEG, headers={"Content-Type": "image/jpeg"}
            )
            self.uploads.append(answer.status_code)
            items.append(
                m.EvidenceItem(
                    evidence_id=evidence_id, tracklet_id=tracklet_id,
                    captured_us=self.seen[0].start_us, sha256=hashlib.sha256(JPEG).digest(),
                    size_bytes=len(JPEG), similarity=0.7,
                )
            )  # fmt: skip
        return m.EvidenceBody(camera_id=self.device.camera_id, items=tuple(items))

    def _reply(self, query: m.Query, body: m.WireModel) -> None:
        self._seq += 1
        sealed = seal(encode(body), query.reply_key, associated=query.query_id.bytes)
        reply = m.Reply(
            query_id=query.query_id, agent_id=self.device.agent_id, spool_id=self._spool,
            seq=self._seq, status=m.ReplyStatus.OK, body=sealed,
        )  # fmt: skip
        self._deliver(reply_topic(self.device.agent_id, query.query_id.hex), reply)

    def _deliver(self, topic: str, message: Any) -> None:
        payload = sign(message, self.device.signing)
        self.world.controller.ingest.deliver(Delivery(topic, payload, lambda: None))
