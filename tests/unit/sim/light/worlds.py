"""A controller's side of the wire, hand-written for the tests of light agents."""

import base64
import secrets
from dataclasses import dataclass, field
from datetime import date
from uuid import UUID, uuid4

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from sim.light.agent import LightAgent, LightSettings
from sim.light.identity import LightIdentity
from sim.light.strangers import Cohort, day_of_passages
from wire import messages as m
from wire.codec import decode, encode
from wire.protection import DIMENSION
from wire.sealing import open_sealed, seal
from wire.signing import public_bytes, sign, verify
from wire.times import epoch_of_us
from wire.topics import agent_topic, parse_topic

DAY = date(2026, 11, 20)
NOW_US = 1_795_300_000_000_000
COHORT = Cohort(np.zeros(DIMENSION, np.float32), np.eye(DIMENSION, dtype=np.float32))


@dataclass
class FakeController:
    """Verifies batches, remembers their sightings, and signs keys, acks and queries."""

    shard: int = 3
    signing: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    case_key: X25519PrivateKey = field(default_factory=X25519PrivateKey.generate)
    shard_key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    received: dict[UUID, int] = field(default_factory=dict)

    @property
    def public_b64(self) -> str:
        return base64.b64encode(public_bytes(self.signing.public_key())).decode()

    def settings(self, batch_size: int = 16) -> LightSettings:
        return LightSettings(
            self.signing.public_key(), "space-1", "variant-1", "pack-1", batch_size
        )

    def keys_for(self, identity: LightIdentity, epoch: int) -> bytes:
        associated = f"{identity.agent_id}|{epoch}|{self.shard}".encode()
        sealed = seal(
            self.shard_key, identity.sealing.public_key().public_bytes_raw(), associated=associated
        )
        entry = m.SealedEpochKey(epoch=epoch, shard=self.shard, sealed=sealed)
        delivery = m.KeyDelivery(agent_id=identity.agent_id, issued_us=NOW_US, keys=(entry,))
        return sign(delivery, self.signing)

    def take(self, identity: LightIdentity, payload: bytes) -> m.SightingBatch:
        batch = verify(m.SightingBatch, payload, identity.signing.public_key())
        for sighting in batch.sightings:
            self.received[sighting.id] = self.received.get(sighting.id, 0) + 1
        return batch

    def ack(self, message: m.SightingBatch | m.Reply, stream: m.Stream, seq: int) -> bytes:
        ack = m.Ack(
            agent_id=message.agent_id,
            stream=stream,
            spool_id=message.spool_id,
            acked_seq=seq,
            issued_us=NOW_US,
        )
        return sign(ack, self.signing)

    def query(self, identity: LightIdentity, **changes: object) -> m.Query:
        query_id = uuid4()
        body = changes.pop("secrets", m.QuerySecrets(space_id="space-1"))
        assert isinstance(body, m.QuerySecrets)
        fields: dict[str, object] = {
            "query_id": query_id,
            "case_id": uuid4(),
            "agent_id": identity.agent_id,
            "kind": m.QueryKind.LOOKBACK,
            "purpose": "contact tracing",
            "issued_us": NOW_US,
            "expires_us": NOW_US + 600_000_000,
            "nonce": secrets.token_bytes(16),
            "scope": m.Scope(camera_id=identity.camera_id, start_us=0, end_us=NOW_US),
            "reply_key": self.case_key.public_key().public_bytes_raw(),
            "sealed": seal(
                encode(body),
                identity.sealing.public_key().public_bytes_raw(),
                associated=query_id.bytes,
            ),
        }
        return m.Query.model_validate(fields | changes)

    def open(self, reply: m.Reply) -> m.LookbackBody:
        plain = open_sealed(reply.body, self.case_key, associated=reply.query_id.bytes)
        return decode(m.LookbackBody, plain)


def make_agent(
    controller: FakeController, *, number: int = 1, batch_size: int = 16, keyed: bool = True
) -> LightAgent:
    """Return an agent whose batches are all due at monotonic second 0."""
    identity = LightIdentity.derive(b"s" * 32, number)
    passages = day_of_passages(COHORT, np.random.default_rng(number), DAY)
    agent = LightAgent(
        identity,
        controller.settings(batch_size),
        passages,
        now_us=NOW_US,
        release_s=(0.0,) * len(passages),
    )
    if keyed:
        keys = controller.keys_for(identity, epoch_of_us(passages[0].start_us))
        agent.receive(agent_topic(identity.agent_id, "keys"), keys, NOW_US)
    return agent


def sent(agent: LightAgent, now_s: float, kind: str) -> list[bytes]:
    """Return the payloads of one kind that the agent publishes at this moment."""
    return [o.payload for o in agent.due(now_s, NOW_US) if parse_topic(o.topic).kind == kind]
