"""The ingest side as a process of its own, so that it can be killed: real broker, gallery, records.

Arguments: folder, MQTT port, workers. Reads one command a line on stdin and answers one JSON line
each. A file `disk-full` in the folder makes every insert fail as a full disk does.
"""

import errno
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from controller.adapters.broker import connection
from controller.adapters.clock import SystemClock
from controller.adapters.gallery import Gallery
from controller.adapters.metrics import PrometheusMeter
from controller.adapters.records.engine import Database
from controller.adapters.records.fleet import SqlFleet
from controller.adapters.records.ingest import SqlCursors, SqlDirectory, SqlReplies
from controller.adapters.records.quarantine import SqlQuarantine
from controller.adapters.records.seen import SeenAgents
from controller.adapters.workers import WorkerPool
from controller.adapters.workers_sessions import Sessions
from controller.adapters.workers_settings import (
    SHARED_SIGHTINGS,
    worker_client_id,
    worker_settings,
)
from controller.config import Config, parse_config
from controller.services.clock_offsets import ClockOffsets
from controller.services.ingest import Ingest, IngestParts
from controller.services.ingest_checks import Checker
from controller.services.ports import GalleryRow, Publisher
from controller.services.values import Agent
from wire.topics import every_agent

CONTROLLER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))


SPACES = frozenset({"space"})


class Disk:
    """The real gallery on a disk that a file makes full."""

    def __init__(self, gallery: Gallery, full: Path) -> None:
        self._gallery, self._full = gallery, full

    def insert(self, rows: Sequence[GalleryRow]) -> None:
        if self._full.exists():
            raise OSError(errno.ENOSPC, "no space left on device")
        self._gallery.insert(rows)


class Outlet:
    """Hands on to the broker, which needs ingest before it can exist."""

    broker: Publisher

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        self.broker.publish(topic, payload, retain=retain)


class Station:
    """What build_ingest makes, over a registry in a file and a disk that can be full."""

    def __init__(self, folder: Path, config: Config) -> None:
        self.database = Database(config.records_dsn)
        self.gallery = Gallery.open(config.gallery_dsn)
        self.quarantine, self.seen = SqlQuarantine(self.database), SeenAgents(self.database)
        clock, outlet, fleet = SystemClock(), Outlet(), SqlFleet(self.database)
        if not fleet.agents():
            fleet.add_agents(registered(folder), 1)
        self.ingest = Ingest(
            IngestParts(
                checker=Checker(SqlDirectory(fleet), clock, spaces=SPACES, retention_days=14),
                gallery=Disk(self.gallery, folder / "disk-full"),
                cursors=SqlCursors(self.database), quarantine=self.quarantine,
                replies=SqlReplies(self.database), fleet=self.seen, publisher=outlet,
                signing=CONTROLLER, clock=clock, offsets=ClockOffsets(), meter=PrometheusMeter(),
            )
        )  # fmt: skip
        self.workers = WorkerPool(worker_settings(config, SPACES), self.ingest.deliver)
        self.sessions = Sessions(
            folder / "ingest-sessions", config.broker, lambda n: worker_client_id(config, n),
            config.ingest.workers,
        )  # fmt: skip
        others = (every_agent("state"), every_agent("health"), every_agent("replies"))
        alone = not self.workers.size
        self.broker = connection(
            config.broker, client_id="controller", on_delivery=self.ingest.deliver,
            subscriptions=(SHARED_SIGHTINGS, *others) if alone else others,
            unwanted=() if alone else (SHARED_SIGHTINGS,),
        )  # fmt: skip
        outlet.broker = self.broker

    def start(self) -> None:
        self.ingest.start()
        self.broker.connect()
        self.sessions.start()
        self.workers.start()

    def facts(self) -> dict[str, object]:
        ready = self.workers.alive == self.workers.size
        return {
            "ids": sorted(str(one) for one in self.gallery.ids()), "count": self.gallery.count(),
            "differences": self.gallery.verify(), "refused": self.quarantine.count(),
            "online": self.seen.online(), "connected": self.broker.connected and ready,
            "pids": self.workers.pids(), "restarts": self.workers.restarts_total,
            "queue": self.ingest.queue_depth, **asdict(self.ingest.counters),
        }  # fmt: skip

    def stop(self) -> None:
        self.sessions.stop()
        self.workers.stop()
        self.ingest.stop()
        self.broker.stop()
        self.gallery.close()
        self.database.close()


def registered(folder: Path) -> list[Agent]:
    """The registry as a JSON file: agent_id -> [camera_id, shard, signing public key in hex]."""
    agents = json.loads((folder / "agents.json").read_text(encoding="utf-8"))
    return [
        Agent(agent_id, camera_id, bytes.fromhex(signing), bytes(32), 0.0, 0.0, shard, "", None)
        for agent_id, (camera_id, shard, signing) in agents.items()
    ]


def main(folder: Path, port: int, workers: int) -> None:
    raw = {"controller": {"data_dir": str(folder)}, "broker": {"port": port},
           "ingest": {"workers": workers}}  # fmt: skip
    station = Station(folder, parse_config(raw, base=folder))
    station.start()
    for line in sys.stdin:
        if line.strip() == "stop":
            break
        print(json.dumps(station.facts()), flush=True)
    station.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
