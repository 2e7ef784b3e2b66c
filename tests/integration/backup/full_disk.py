"""A child process on a small disk of its own (see test_full_disk.py); prints one line of JSON.

Arguments: what to do, the disk's folder, a folder on another disk.
"""

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from fastapi.testclient import TestClient

from controller.adapters.backup.create import BackupMaker, Source
from controller.adapters.backup.folder import BackupFolder
from controller.adapters.backup.manifest import BackupError
from controller.adapters.clock import SystemClock
from controller.adapters.gallery import Gallery
from controller.adapters.records.fleet import SqlEpochKeys
from controller.adapters.vault import open_vault
from controller.build import Controller, build_controller, open_stores
from controller.config import DiskSection
from controller.services.keys import epoch_key_label
from controller.services.ports import Delivery, GalleryRow
from controller.services.values import Agent
from tests.integration.controller.world import Outbox, SetClock, make_config
from wire import messages as m
from wire.ids import uuid7
from wire.signing import public_bytes, sign, verify
from wire.times import EPOCH_US, epoch_of_us
from wire.topics import agent_topic

DAY = 20_415
SPACE = "space"


def row(i: int, day: int = DAY) -> GalleryRow:
    start_us = day * EPOCH_US + i * 1_000
    return GalleryRow(
        id=uuid7(unix_ms=start_us // 1_000, random_bytes=i.to_bytes(10, "big")), agent_id="box",
        camera_id="cam", epoch=day, shard=i % 2, start_us=start_us, end_us=start_us + 9,
        time_uncertainty_s=0.5, space_id=SPACE, variant="float", template=os.urandom(192),
        mask_state="masked", mask_probability=0.9, quality=0.5, face_count=2,
    )  # fmt: skip


class Ballast:
    """A file that takes all but so many bytes of a disk."""

    def __init__(self, disk: Path) -> None:
        self._disk, self._file = disk, disk / "ballast"

    def free(self) -> int:
        found = os.statvfs(self._disk)
        return found.f_bavail * found.f_frsize

    def leave(self, free_bytes: int) -> None:
        with self._file.open("ab", buffering=0) as file:
            while (room := self.free() - free_bytes) > 0:
                file.write(bytes(min(room, 1 << 20)))

    def drop(self) -> None:
        self._file.unlink()


def until(holds: Callable[[], bool], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError("waited too long")
        time.sleep(0.05)


def fails(work: Callable[[], object]) -> str:
    try:
        work()
    except Exception as error:  # noqa: BLE001 - its kind is what we tell
        return type(error).__name__
    return ""


def gallery_until_full(disk: Path, table: Path, search: Path) -> dict[str, Any]:
    """Insert until one disk is full, look, make room, insert what failed."""
    gallery, ballast = Gallery.open(f"chdb://{table}", search), Ballast(disk)
    gallery.insert([row(i) for i in range(1_000)])
    ballast.leave(6 << 20)
    at, batch, error = 1_000, [row(0)], ""
    while not error:
        batch = [row(i) for i in range(at, at + 2_500)]
        error = fails(lambda batch=batch: gallery.insert(batch))  # type: ignore[misc]
        at += 0 if error else 2_500
    again = [bool(fails(lambda: gallery.insert(batch))) for _ in range(3)]
    scope_rows = sum(one.rows for one in _segments(gallery))
    full = {"stored": at, "count": gallery.count(), "searchable": scope_rows}
    ballast.drop()
    gallery.insert(batch)
    after = {"count": gallery.count(), "ids": len(gallery.ids()), "differ": gallery.verify()}
    gallery.close()
    opened = Gallery.open(f"chdb://{table}", search)
    later = {"count": opened.count(), "differ": opened.verify()}
    opened.close()
    return {"error": error, "again": again, "full": full, "after": after, "later": later}


def _segments(gallery: Gallery) -> list[Any]:
    from controller.services.ports import GalleryScope

    return list(gallery.segments(GalleryScope(DAY * EPOCH_US, (DAY + 1) * EPOCH_US, SPACE)))


def purge(disk: Path) -> dict[str, Any]:
    """Fill two days, drop one: what `du` says before and after."""
    gallery = Gallery.open(f"chdb://{disk / 'table'}", disk / "search")
    for day in (DAY, DAY + 1):
        gallery.insert([row(i, day) for i in range(20_000)])
    before = _du(disk)
    gallery.purge_before(DAY + 1)
    until(lambda: _du(disk) < 0.65 * before)
    found = {"share": _du(disk) / before, "count": gallery.count(), "differ": gallery.verify()}
    gallery.close()
    return found


def backup_onto_full_disk(disk: Path, other: Path) -> dict[str, Any]:
    """A backup fits; the next does not; with room again it goes on."""
    config = make_config(other / "controller")
    stores = open_stores(config, SystemClock())
    keys, vault = SqlEpochKeys(stores.database), open_vault(config.keys_dir)
    for day in (DAY, DAY + 1):
        wrapped = vault.wrap(vault.new_key(), label=epoch_key_label(day))
        keys.add_epoch_key(day, wrapped, 1)
    stores.gallery.insert([row(i) for i in range(5_000)])
    folder, ballast = BackupFolder(disk / "backups"), Ballast(disk)
    source = Source(
        config, stores.database, stores.gallery.table, stores.gallery.settled_us, vault,
        bytes(32), SystemClock().now_us,
    )  # fmt: skip
    maker = BackupMaker(source, folder, "11" * 32, "22" * 16)
    first = maker.create()
    stores.gallery.insert([row(i, DAY + 1) for i in range(40_000)])
    ballast.leave(2 << 20)
    fault = ""
    try:
        maker.create()
    except BackupError as error:
        fault = str(error)
    kept, whole = folder.manifests() == [first], folder.faults(first.files)
    ballast.drop()
    second = maker.create()
    rows = sum(file.rows for file in second.of("gallery"))
    faults = folder.faults(second.files)
    stores.gallery.close()
    return {"fault": fault, "kept": kept, "whole": whole, "rows": rows, "faults": faults}


def _du(folder: Path) -> int:
    done = subprocess.run(["du", "-s", "-B1", folder], capture_output=True, text=True, check=False)
    return int(done.stdout.split()[0])


class Lines(logging.Handler):
    """Counts what ingest complains of."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(str(getattr(record, "facts", {}).get("error", "")))


class Station:
    """A controller on the disk, with one box that talks to its ingest."""

    def __init__(self, disk: Path, floor_mb: float) -> None:
        self.clock, self.outbox, self.lines = SetClock(), Outbox(), Lines()
        logging.getLogger("controller.ingest").addHandler(self.lines)
        config = make_config(disk / "controller")
        section = DiskSection(min_free_mb=floor_mb, min_free_percent=50)
        self.controller: Controller = build_controller(
            config.model_copy(update={"disk": section}), clock=self.clock, publisher=self.outbox
        )
        self.key, self.spool, self.seq = Ed25519PrivateKey.generate(), uuid7(unix_ms=1), 0
        sealing = X25519PrivateKey.generate().public_key().public_bytes_raw()
        agent = Agent("box", "cam", public_bytes(self.key.public_key()), sealing, 0.0, 0.0, 0)
        self.controller.stores.fleet.add_agents([agent], 1)
        self.http = TestClient(self.controller.app)
        self.settled: list[int] = []
        self.controller.start()

    def send(self) -> None:
        """Send the next batch of eight sightings."""
        self.seq += 1
        seq, start_us = self.seq, self.clock.now_us() - 3_600_000_000
        made = tuple(
            m.Sighting(
                id=uuid7(unix_ms=start_us // 1000), epoch=epoch_of_us(start_us),
                start_us=start_us + i, end_us=start_us + 9_000_000, time_uncertainty_s=0.1,
                template=np.random.default_rng(i).bytes(192), mask_state=m.MaskState.MASKED,
                mask_probability=0.9, quality=0.5, face_count=3,
            )
            for i in range(8)
        )  # fmt: skip
        batch = m.SightingBatch(
            agent_id="box", spool_id=self.spool, seq=seq, sent_us=self.clock.now_us(),
            camera_id="cam", shard=0, space_id=_known_space(), variant="float", sightings=made,
        )  # fmt: skip
        payload = sign(batch, self.key)
        topic = agent_topic("box", "sightings")
        self.controller.ingest.deliver(Delivery(topic, payload, lambda: self.settled.append(seq)))

    @property
    def acked(self) -> int:
        key = self.controller.housekeeping._parts.signing.public_key()
        acks = [verify(m.Ack, raw, key).acked_seq for raw in self.outbox.of_kind("acks")]
        return max(acks, default=0)

    def figures(self) -> dict[str, Any]:
        text = self.http.get("/metrics").text
        prefix = "sightline_controller_"
        lines = [line.split() for line in text.splitlines() if line.startswith(prefix)]
        return {name.removeprefix(prefix): float(value) for name, value in lines}

    def stop(self) -> None:
        self.controller.stop()


def _known_space() -> str:
    from controller.adapters.calibrations import known_spaces

    return sorted(known_spaces())[0]


def controller_held(disk: Path, floor_mb: float, leave_bytes: int) -> dict[str, Any]:
    """One batch, then a disk without room, then room again."""
    station, ballast = Station(disk, floor_mb), Ballast(disk)
    station.send()
    until(lambda: station.acked == 1)
    ballast.leave(leave_bytes)
    for _ in range(3):
        station.send()
    failures = station.controller.ingest.counters
    until(lambda: failures.failures_total >= 4)
    figures = station.figures()
    held = {
        "acked": station.acked, "settled": list(station.settled), "lines": station.lines.said,
        "sightings": figures["gallery_sightings"], "held": figures["ingest_held_by_disk"],
        "free_below_floor": figures["disk_free_bytes"] < figures["disk_floor_bytes"],
        "agents": figures["agents_registered"],
    }  # fmt: skip
    ballast.drop()
    until(lambda: station.acked == 4)
    after = station.figures()
    found = {
        "held": held, "settled": sorted(station.settled), "sightings": after["gallery_sightings"],
        "after_held": after["ingest_held_by_disk"],
        "differ": station.controller.stores.gallery.verify(),
    }  # fmt: skip
    station.stop()
    return found


def main() -> None:
    what, disk, other = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    jobs: dict[str, Callable[[], dict[str, Any]]] = {
        "table": lambda: gallery_until_full(disk, disk / "table", other / "search"),
        "search": lambda: gallery_until_full(disk, other / "table", disk / "search"),
        "purge": lambda: purge(disk),
        "backup": lambda: backup_onto_full_disk(disk, other),
        "floor": lambda: controller_held(disk, 60, 40 << 20),
        "brim": lambda: controller_held(disk, 0, 0),
    }
    print(json.dumps(jobs[what]()))


if __name__ == "__main__":
    main()
