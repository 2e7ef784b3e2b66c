"""Hand-made agents over paho, and the handle of a station; they send again what is not acked."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import paho.mqtt.client as mqtt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paho.mqtt.enums import CallbackAPIVersion

from tests.integration.ingest.station import CONTROLLER
from wire import messages as m
from wire.ids import uuid7
from wire.signing import sign, verify
from wire.times import epoch_of_us
from wire.topics import agent_topic

ROOT = Path(__file__).parents[3]
RESEND_S = 2.0


def wait_for(holds: Callable[[], bool], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


class Station:
    """A station process; `kill` is kill -9."""

    def __init__(self, folder: Path, port: int, workers: int = 0) -> None:
        self.folder, self._port, self.workers = folder, port, workers
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.ingest.station", str(self.folder),
             str(self._port), str(self.workers)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        )  # fmt: skip
        wait_for(lambda: bool(self.facts()["connected"]))

    def facts(self) -> dict[str, Any]:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("facts\n")
        process.stdin.flush()
        return dict(json.loads(process.stdout.readline()))

    def stop(self) -> None:
        if self._process is not None:
            self._process.communicate("stop\n", timeout=40)
            assert self._process.returncode == 0
        self._process = None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        self._process = None


class Box:
    """One agent whose spool is a dictionary: an entry goes only with the controller's ack."""

    def __init__(self, agent_id: str, camera_id: str, shard: int = 0) -> None:
        self.agent_id, self.camera_id, self.shard = agent_id, camera_id, shard
        self.key = Ed25519PrivateKey.generate()
        self.spool_id = uuid7(unix_ms=time.time_ns() // 1_000_000)
        self.unacked: dict[int, bytes] = {}
        self.sent_ids: set[UUID] = set()
        self.acks: list[m.Ack] = []
        self._lock, self._stop, self._seq = threading.Lock(), threading.Event(), 0
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, agent_id, clean_session=False)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._connected
        self._client.on_message = self._message

    def connect(self, port: int, *, resending: bool = True) -> None:
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        wait_for(self._client.is_connected)
        if resending:
            threading.Thread(target=self._resend_for_ever, daemon=True).start()

    def close(self) -> None:
        self._stop.set()
        self._client.disconnect()
        self._client.loop_stop()

    def batch(self, sightings: int = 4, **changes: Any) -> m.SightingBatch:
        """The next batch of the spool, of sightings an hour ago."""
        self._seq += 1
        start_us = time.time_ns() // 1000 - 3_600_000_000
        made = tuple(
            m.Sighting(
                id=uuid7(unix_ms=start_us // 1000), epoch=epoch_of_us(start_us),
                start_us=start_us, end_us=start_us + 9_000_000, time_uncertainty_s=0.1,
                template=bytes([self._seq % 256]) * 192, mask_state=m.MaskState.MASKED,
                mask_probability=0.9, quality=0.5, face_count=3,
            )
            for _ in range(sightings)
        )  # fmt: skip
        fields = {
            "agent_id": self.agent_id, "spool_id": self.spool_id, "seq": self._seq,
            "sent_us": start_us, "camera_id": self.camera_id, "shard": self.shard,
            "space_id": "space", "variant": "float", "sightings": made,
        }  # fmt: skip
        return m.SightingBatch(**(fields | changes))

    def spool(self, batch: m.SightingBatch) -> None:
        """Keep a batch until it is acknowledged, and send it."""
        payload = sign(batch, self.key)
        with self._lock:
            self.unacked[batch.seq] = payload
        self.sent_ids |= {s.id for s in batch.sightings}
        self.publish("sightings", payload)

    def publish(self, kind: str, payload: bytes) -> None:
        self._client.publish(agent_topic(self.agent_id, kind), payload, qos=1)

    def publish_on(self, topic: str, payload: bytes) -> None:
        self._client.publish(topic, payload, qos=1)

    def acked(self) -> int:
        """The highest number acknowledged for this spool's sightings."""
        mine = [a.acked_seq for a in self.acks if a.stream is m.Stream.SIGHTINGS]
        return max(mine, default=0)

    def _connected(self, client: mqtt.Client, *_: Any) -> None:
        client.subscribe(agent_topic(self.agent_id, "acks"), 1)

    def _message(self, _client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        ack = verify(m.Ack, bytes(message.payload), CONTROLLER.public_key())
        assert ack.agent_id == self.agent_id
        assert ack.spool_id == self.spool_id
        self.acks.append(ack)
        if ack.stream is m.Stream.SIGHTINGS:
            with self._lock:
                for seq in [s for s in self.unacked if s <= ack.acked_seq]:
                    del self.unacked[seq]

    def _resend_for_ever(self) -> None:
        while not self._stop.wait(RESEND_S):
            with self._lock:
                waiting = [self.unacked[seq] for seq in sorted(self.unacked)]
            if self._client.is_connected():
                for payload in waiting:
                    self.publish("sightings", payload)


def register(folder: Path, boxes: list[Box]) -> None:
    """Write the registry that a station reads at its start."""
    agents = {
        b.agent_id: [b.camera_id, b.shard, b.key.public_key().public_bytes_raw().hex()]
        for b in boxes
    }  # fmt: skip
    (folder / "agents.json").write_text(json.dumps(agents), encoding="utf-8")
