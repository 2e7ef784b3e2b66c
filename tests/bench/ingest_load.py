"""Signed batches made beforehand and published by a few connections, as a process of its own.

Reads one JSON object on stdin, says `ready`, starts at the next line, answers one JSON object.
"""

import json
import sys
import threading
import time
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import UUID

import numpy as np
import paho.mqtt.client as mqtt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from paho.mqtt.enums import CallbackAPIVersion

from wire import messages as m
from wire.ids import uuid7
from wire.signing import sign, verify
from wire.times import epoch_of_us
from wire.topics import agent_topic, parse_topic

CONNECTIONS = 4
RESEND_S = 15.0
GIVE_UP_S = 120.0
SPOOL = UUID(int=1)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to publish: `rate` sightings/s, or as fast as `window` unacknowledged batches allow."""

    port: int
    controller_hex: str
    space_id: str
    agents: int
    batches: int
    least: int
    most: int
    rate: float
    window: int
    ids_file: str
    seed: int


@dataclass(frozen=True, slots=True)
class Sent:
    """One batch, ready to go."""

    agent: int
    seq: int
    topic: str
    payload: bytes
    sightings: int


def agent_key(agent: int) -> Ed25519PrivateKey:
    """Return the bench's key of one agent; nothing but benches knows these agents."""
    return Ed25519PrivateKey.from_private_bytes(agent.to_bytes(32, "big"))


def make(plan: Plan) -> list[Sent]:
    """Sign everything before the clock starts, and write the ids to a file."""
    rng = np.random.default_rng(plan.seed)
    start_us = time.time_ns() // 1_000 - 600_000_000
    made, ids = [], []
    for n in range(plan.batches):
        agent, seq = n % plan.agents, n // plan.agents + 1
        size = int(rng.integers(plan.least, plan.most + 1))
        templates = rng.bytes(192 * size)
        sightings = tuple(
            m.Sighting(
                id=uuid7(unix_ms=start_us // 1_000), epoch=epoch_of_us(start_us + n),
                start_us=start_us + n, end_us=start_us + n + 4_000_000, time_uncertainty_s=0.1,
                template=templates[192 * k : 192 * (k + 1)], mask_state=m.MaskState.UNMASKED,
                mask_probability=0.1, quality=0.7, face_count=5,
            )
            for k in range(size)
        )  # fmt: skip
        batch = m.SightingBatch(
            agent_id=f"load-{agent}", spool_id=SPOOL, seq=seq, sent_us=time.time_ns() // 1_000,
            camera_id=f"cam-{agent}", shard=agent // 256, space_id=plan.space_id, variant="float",
            sightings=sightings,
        )  # fmt: skip
        topic = agent_topic(f"load-{agent}", "sightings")
        made.append(Sent(agent, seq, topic, sign(batch, agent_key(agent)), size))
        ids += [one.id.bytes for one in sightings]
    Path(plan.ids_file).write_bytes(b"".join(ids))
    return made


class Load:
    """Publishes, and notes when each batch was acknowledged."""

    def __init__(self, plan: Plan, made: list[Sent]) -> None:
        self._plan, self._made = plan, made
        self._key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(plan.controller_hex))
        self._change = threading.Condition()
        self._waiting: dict[int, deque[Sent]] = {agent: deque() for agent in range(plan.agents)}
        self._sent_s: dict[tuple[int, int], float] = {}
        self.acked: list[tuple[float, float, int]] = []
        self._clients = [self._client(n) for n in range(CONNECTIONS)]
        self._clients[0].subscribe("sightline/v1/agents/+/acks", 1)

    def run(self) -> dict[str, object]:
        began_s = time.perf_counter()
        due_s = began_s
        for one in self._made:
            if self._plan.rate:
                time.sleep(max(0.0, due_s - time.perf_counter()))
                due_s += one.sightings / self._plan.rate
            with self._change:
                self._change.wait_for(lambda: len(self._sent_s) < self._plan.window, GIVE_UP_S)
                self._sent_s[one.agent, one.seq] = time.perf_counter()
                self._waiting[one.agent].append(one)
            self._publish(one)
        resent = self._finish()
        return self._summary(began_s, resent)

    def _finish(self) -> int:
        resent, deadline_s = 0, time.perf_counter() + GIVE_UP_S
        while time.perf_counter() < deadline_s:
            with self._change:
                if self._change.wait_for(lambda: not self._sent_s, RESEND_S):
                    return resent
                left = [one for queue in self._waiting.values() for one in queue]
            for one in left:
                self._publish(one)
            resent += len(left)
        return resent

    def _publish(self, one: Sent) -> None:
        self._clients[one.agent % CONNECTIONS].publish(one.topic, one.payload, qos=1)

    def _summary(self, began_s: float, resent: int) -> dict[str, object]:
        ends = np.array([at for at, _, _ in self.acked]) - began_s
        sizes = np.array([size for _, _, size in self.acked])
        waits = np.array([waited for _, waited, _ in self.acked])
        low, high = ends.max() * 0.1, ends.max() * 0.9
        middle = (ends > low) & (ends <= high)
        return {
            "acked_sightings": int(sizes.sum()), "unacknowledged_batches": len(self._sent_s),
            "resent_batches": resent, "seconds": round(float(ends.max()), 2),
            "sustained_per_s": round(float(sizes[middle].sum() / (high - low))),
            "publish_to_acknowledged_s": {
                name: round(float(np.quantile(waits, q)), 3)
                for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0))
            },
        }  # fmt: skip

    def _client(self, number: int) -> mqtt.Client:
        client = mqtt.Client(CallbackAPIVersion.VERSION2, f"bench-load-{number}")
        client.max_inflight_messages_set(1_000)
        client.on_message = self._on_ack
        client.connect("127.0.0.1", self._plan.port)
        client.loop_start()
        return client

    def _on_ack(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        now_s = time.perf_counter()
        ack = verify(m.Ack, bytes(message.payload), self._key)
        agent = int(parse_topic(message.topic).agent_id.removeprefix("load-"))
        with self._change:
            waiting = self._waiting[agent]
            while waiting and waiting[0].seq <= ack.acked_seq:
                one = waiting.popleft()
                sent_s = self._sent_s.pop((agent, one.seq))
                self.acked.append((now_s, now_s - sent_s, one.sightings))
            self._change.notify()


def main() -> None:
    """Publish as told on stdin."""
    plan = Plan(**json.loads(sys.stdin.readline()))
    load = Load(plan, make(plan))
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(load.run() | {"plan": asdict(plan)}), flush=True)


if __name__ == "__main__":
    main()
