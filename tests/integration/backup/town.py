"""A controller to be backed up, and what a restored one, in its own process, says of itself."""

import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

from controller.adapters.backup.create import BackupMaker, Source, Watch
from controller.adapters.backup.folder import BackupFolder
from controller.adapters.backup.manifest import Manifest
from controller.adapters.backup.sealing import private_key, public_hex
from controller.adapters.records.ingest import SqlCursors
from controller.adapters.vault import read_signing_key
from controller.services.ports import Cursor, GalleryRow
from tests.integration.controller.world import World
from wire.ids import uuid7
from wire.times import EPOCH_US, epoch_of_us

ROOT = Path(__file__).parents[3]
PASSPHRASE = "correct horse battery staple"
SALT = "00" * 16
RECIPIENT = public_hex(private_key(PASSPHRASE, SALT))
_RESTORE = """
import hashlib, json, sys
from pathlib import Path
from controller.adapters.backup.folder import BackupFolder
from controller.adapters.backup.manifest import BackupError
from controller.adapters.backup.records import restored_us
from controller.adapters.backup.restore import Restorer
from controller.adapters.clock import SystemClock
from controller.adapters.records.fleet import SqlEpochKeys
from controller.adapters.vault import open_vault, read_signing_key
from controller.build import open_stores
from controller.config import load_config
from controller.services.cases import case_key_label
folder, data_dir, now_us, passphrase, at = sys.argv[1:]
maker = Restorer(BackupFolder(Path(folder)), passphrase, lambda: int(now_us))
try:
    made = maker.restore(Path(data_dir), at)
except BackupError as error:
    print(json.dumps({"refused": str(error)})); sys.exit()
config = load_config(made.config)
stores, vault = open_stores(config, SystemClock()), open_vault(config.keys_dir)
def mark(secret): return hashlib.sha256(secret).hexdigest()
with stores.database.read() as connection:
    cursors = connection.exec_driver_sql("SELECT agent_id, acked_seq FROM cursors").all()
cases = stores.cases.cases()
print(json.dumps({
    "ids": sorted(str(one) for one in stores.gallery.ids()), "count": stores.gallery.count(),
    "differences": stores.gallery.verify(), "cursors": {agent: seq for agent, seq in cursors},
    "keys": {epoch: mark(vault.unwrap(wrapped, label=f"epoch_key|{epoch}"))
             for epoch, wrapped in SqlEpochKeys(stores.database).epoch_keys().items()},
    "cases": {str(one.case_id): mark(
        vault.unwrap(one.wrapped_key, label=case_key_label(one.case_id))) for one in cases},
    "photos": sum(len(stores.cases.photos(one.case_id)) for one in cases),
    "pictures": sorted(p.name for p in Path(data_dir).glob("evidence/*/*.bin")),
    "agents": [one.agent_id for one in stores.fleet.agents()],
    "audit": [line.hash for line in stores.audit.lines()],
    "signing": mark(read_signing_key(config.keys_dir).private_bytes_raw()),
    "master": mark((config.keys_dir / "master.key").read_bytes()),
    "restored_us": restored_us(stores.database),
    "expired": made.expired_epochs, "config": made.config.read_text(),
}))
stores.gallery.close()
"""


@dataclass
class Town:
    """One controller of the real parts, its clock set by hand."""

    folder: Path
    engine: str
    world: World = field(init=False)

    def __post_init__(self) -> None:
        self.world = World(self.folder / "controller", gallery_dsn=self.engine)
        self.world.controller.keys.ensure_epochs()
        self.backups = BackupFolder(self.folder / "backups")
        self.cursors = SqlCursors(self.world.controller.stores.database)

    def close(self) -> None:
        self.world.close()

    @property
    def today(self) -> int:
        return epoch_of_us(self.world.clock.now_us())

    @property
    def source(self) -> Source:
        stores = self.world.controller.stores
        return Source(
            config=self.world.config,
            database=stores.database,
            store=stores.gallery.table,
            settled_us=stores.gallery.settled_us,
            sealer=self.world.controller.keys._sealer,
            signing_raw=read_signing_key(self.world.config.keys_dir).private_bytes_raw(),
            now_us=self.world.clock.now_us,
        )

    def see(self, count: int, *, day: int = 0, shard: int = 0) -> list[GalleryRow]:
        """Store sightings of a day (0: today) that nobody saw before, and return them."""
        start_us = (self.today + day) * EPOCH_US
        templates = np.random.default_rng().integers(-127, 128, (count, 192), np.int8)
        rows = [
            GalleryRow(
                id=uuid7(unix_ms=start_us // 1000), agent_id="box-1", camera_id=f"cam-{i % 3}",
                epoch=self.today + day, shard=shard, start_us=start_us + i,
                end_us=start_us + i + 9, time_uncertainty_s=0.1, space_id="space",
                variant="float", template=templates[i].tobytes(), mask_state="masked",
                mask_probability=0.9, quality=0.5, face_count=2, clock_offset_s=-1.5,
            )
            for i in range(count)
        ]  # fmt: skip
        self.world.controller.stores.gallery.insert(rows)
        return rows

    def acknowledge(self, agent_id: str, seq: int, spool: int = 1) -> None:
        """Note how far an agent's spool is durable."""
        self.cursors.advance([Cursor(agent_id, "sightings", UUID(int=spool), seq)])

    def back_up(self, watch: Watch | None = None, keep: int = 7, **changes: Any) -> Manifest:
        """Make a backup a second after the last one."""
        self.world.clock.advance(seconds=1)
        values = {"recipient": RECIPIENT, "salt": SALT, "keep": keep} | changes
        return BackupMaker(self.source, self.backups, watch=watch or Watch(), **values).create()

    def pass_days(self, days: int) -> None:
        """Let days go by, with what housekeeping does every day."""
        for _ in range(days):
            self.world.clock.advance(days=1)
            self.world.controller.housekeeping.tick()

    def restored(
        self, *, later: timedelta = timedelta(0), passphrase: str = PASSPHRASE, at: str = ""
    ) -> dict[str, Any]:
        """Restore in another process, some time from now; return what it then holds."""
        now_us = self.world.clock.now_us() + later // timedelta(microseconds=1)
        words = [self.backups.root, self.folder / "restored", now_us, passphrase, at]
        done = subprocess.run(
            [sys.executable, "-c", _RESTORE, *map(str, words)],
            capture_output=True, text=True, timeout=120, check=False, cwd=ROOT,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        return dict(json.loads(done.stdout.splitlines()[-1]))


def mark(secret: bytes) -> str:
    return hashlib.sha256(secret).hexdigest()
