"""A backup while sightings come in, the next one, and a restore; against copying the stopped files.

What matters for ingest is the longest insert, alone and during the backup.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from controller.adapters.backup.create import BackupMaker, Source
from controller.adapters.backup.folder import BackupFolder
from controller.adapters.backup.sealing import private_key, public_hex
from controller.adapters.clock import SystemClock
from controller.adapters.gallery import Gallery
from controller.adapters.records.engine import Database
from controller.adapters.records.fleet import SqlEpochKeys
from controller.adapters.vault import open_vault, read_signing_key
from controller.config import default_toml, load_config
from controller.services.keys import epoch_key_label
from controller.setup import initialise
from tests.bench.gallery.rows import gallery_rows
from wire.times import epoch_of_us

ROWS: Final = 500_000
SHARDS: Final = 4
DAYS: Final = 2
_BATCH: Final = 5_000
_TRICKLE: Final = 250
_ALONE_S: Final = 15.0
_PASSPHRASE: Final = "a passphrase for benches"
_SALT: Final = "11" * 16
_RESTORE: Final = """
import sys, time
from pathlib import Path
from controller.adapters.backup.folder import BackupFolder
from controller.adapters.backup.restore import Restorer
began = time.perf_counter()
made = Restorer(BackupFolder(Path(sys.argv[1])), sys.argv[3], lambda: time.time_ns() // 1000)
back = made.restore(Path(sys.argv[2]))
print(back.sightings, time.perf_counter() - began)
"""


@dataclass
class Trickle:
    """Inserts 250 rows about 20 times a second, and how long each insert took."""

    gallery: Gallery
    rng: np.random.Generator
    times_s: list[float] = field(default_factory=list)

    def during(self, work: Callable[[], Any]) -> tuple[Any, float]:
        """Run while `work` does; return its result and its seconds."""
        self.times_s, stop = [], threading.Event()
        thread = threading.Thread(target=self._feed, args=(stop,))
        thread.start()
        began = time.perf_counter()
        result = work()
        took_s = time.perf_counter() - began
        stop.set()
        thread.join()
        return result, took_s

    def pauses(self) -> dict[str, float]:
        """Return median and longest insert in milliseconds, and how many there were."""
        times_ms = np.array(self.times_s) * 1_000
        return {"p50_ms": round(float(np.median(times_ms)), 1), "inserts": len(times_ms),
                "longest_ms": round(float(times_ms.max()), 1)}  # fmt: skip

    def _feed(self, stop: threading.Event) -> None:
        while not stop.wait(0.05):
            rows = _rows(self.rng, 0, _TRICKLE)
            began = time.perf_counter()
            self.gallery.insert(rows)
            self.times_s.append(time.perf_counter() - began)


def backup(rows: int = ROWS) -> dict[str, object]:
    """Measure one controller's backup of so many rows over two days and four shards."""
    with tempfile.TemporaryDirectory(prefix="sightline-bench-") as folder:
        return _measure(Path(folder), rows)


def _measure(folder: Path, rows: int) -> dict[str, object]:
    source, gallery = _controller(folder / "data")
    rng = np.random.default_rng(1)
    for at in range(0, rows, _BATCH):
        gallery.insert(_rows(rng, at // _BATCH % DAYS, _BATCH))
    trickle, backups = Trickle(gallery, rng), BackupFolder(folder / "backups")
    recipient = public_hex(private_key(_PASSPHRASE, _SALT))

    def make() -> Any:
        return BackupMaker(source, backups, recipient, _SALT).create()

    trickle.during(lambda: time.sleep(_ALONE_S))
    alone = trickle.pauses()
    first, first_s = trickle.during(make)
    meanwhile = trickle.pauses()
    second, second_s = trickle.during(make)
    copied = sum(f.rows for f in first.of("gallery"))
    table = gallery.stats()["table_bytes"]
    gallery.close()
    source.database.close()
    began = time.perf_counter()
    subprocess.run(["cp", "-a", folder / "data" / "gallery", folder / "copy"], check=True)
    copy_s = time.perf_counter() - began
    words = [sys.executable, "-c", _RESTORE, backups.root, folder / "new", _PASSPHRASE]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    restored, restore_s = done.stdout.split()
    return {
        "rows": copied, "bytes_per_row": round(first.size / copied), "seconds": round(first_s, 1),
        "rows_per_s": round(copied / first_s), "insert_alone": alone, "insert_during": meanwhile,
        "next": {"new_rows": sum(f.rows for f in second.of("gallery")) - copied,
                 "new_bytes": second.new_bytes, "seconds": round(second_s, 2)},
        "restore": {"rows": int(restored), "seconds": round(float(restore_s), 1)},
        "stopped_copy": {"bytes_per_row": round(table / copied), "seconds": round(copy_s, 1)},
    }  # fmt: skip


def _controller(data_dir: Path) -> tuple[Source, Gallery]:
    text = default_toml(api_host="127.0.0.1", api_port=1, broker_host="127.0.0.1", broker_port=2,
                        broker_tls=False)  # fmt: skip
    config = load_config(initialise(data_dir, text))
    database, clock = Database(config.records_dsn), SystemClock()
    vault = open_vault(config.keys_dir)
    keys = SqlEpochKeys(database)
    for day in range(DAYS):
        epoch = _today() - day
        wrapped = vault.wrap(vault.new_key(), label=epoch_key_label(epoch))
        keys.add_epoch_key(epoch, wrapped, clock.now_us())
    gallery = Gallery.open(config.gallery_dsn, config.search_dir)
    signing = read_signing_key(config.keys_dir).private_bytes_raw()
    return Source(config, database, gallery.table, gallery.settled_us, vault, signing,
                  clock.now_us), gallery  # fmt: skip


def _rows(rng: np.random.Generator, day: int, count: int) -> list[Any]:
    """Return rows over all shards of a day, this many."""
    each = count // SHARDS + 1
    made = [
        gallery_rows(rng, _today() - day, shard, rng.integers(-127, 128, (each, 192), np.int8))
        for shard in range(SHARDS)
    ]
    return [row for rows in made for row in rows][:count]


def _today() -> int:
    return epoch_of_us(SystemClock().now_us())


if __name__ == "__main__":
    print(json.dumps(backup(int(sys.argv[1]) if sys.argv[1:] else ROWS), indent=2))
