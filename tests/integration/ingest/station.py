"""The ingest side as a process of its own, so that it can be killed: real broker, gallery, records.

Arguments: folder, MQTT port. Reads one command a line on stdin and answers one JSON line each.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from controller.adapters.broker import Broker
from controller.adapters.clock import SystemClock
from controller.adapters.gallery import Gallery
from controller.adapters.records.engine import Database
from controller.adapters.records.ingest import SqlCursors, SqlQuarantine, SqlReplies
from controller.adapters.records.seen import SeenAgents
from controller.services.ingest import Ingest
from controller.services.ports import AgentFacts, Publisher
from wire.topics import every_agent

CONTROLLER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))


class FileDirectory:
    """The registry as a JSON file: agent_id -> [camera_id, shard, signing public key in hex]."""

    def __init__(self, path: Path) -> None:
        self._agents = json.loads(path.read_text(encoding="utf-8"))

    def facts(self, agent_id: str) -> AgentFacts | None:
        if agent_id not in self._agents:
            return None
        camera_id, shard, signing = self._agents[agent_id]
        return AgentFacts(agent_id, camera_id, shard, bytes.fromhex(signing), b"")


class Outlet:
    """Hands on to the broker, which needs ingest before it can exist."""

    broker: Publisher

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        self.broker.publish(topic, payload, retain=retain)


def main(folder: Path, port: int) -> None:
    database, gallery = Database(f"sqlite:///{folder}/records.sqlite"), Gallery.open(
        f"chdb://{folder}/gallery"
    )  # fmt: skip
    quarantine, seen, outlet = SqlQuarantine(database), SeenAgents(database), Outlet()
    ingest = Ingest(
        directory=FileDirectory(folder / "agents.json"), gallery=gallery,
        cursors=SqlCursors(database), quarantine=quarantine, replies=SqlReplies(database),
        fleet=seen, publisher=outlet, signing=CONTROLLER, clock=SystemClock(), retention_days=14,
    )  # fmt: skip
    broker = Broker(
        host="127.0.0.1", port=port, client_id="controller", tls=None,
        subscriptions=(
            every_agent("sightings", share_group="sightline-ingest"), every_agent("state"),
            every_agent("health"), every_agent("replies"),
        ),
        on_delivery=ingest.deliver,
    )  # fmt: skip
    outlet.broker = broker
    ingest.start()
    broker.connect()
    for line in sys.stdin:
        if line.strip() == "stop":
            break
        answer = {
            "ids": sorted(str(one) for one in gallery.ids()), "count": gallery.count(),
            "refused": quarantine.count(), "online": seen.online(),
            "connected": broker.connected, **asdict(ingest.counters),
        }  # fmt: skip
        print(json.dumps(answer), flush=True)
    ingest.stop()
    broker.stop()
    gallery.close()
    database.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
