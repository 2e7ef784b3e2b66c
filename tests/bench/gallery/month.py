"""A month at a reduced scale: does the last week cost what the second did? One JSON line.

`python -m tests.bench.gallery.month FOLDER ROWS_PER_DAY`: 28 days on a clock of its own, retention
of 7 days; each day is inserted, the day that is past is dropped, ten cases are searched.
"""

import json
import sys
import time
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np

from controller.adapters.blas import one_thread_each
from controller.adapters.gallery import Gallery
from controller.services.ports import GalleryScope
from tests.bench.gallery.machine import memory
from tests.bench.gallery.rows import FIRST_EPOCH, gallery_rows
from tests.bench.gallery.searching import SPACE, TableKeys, search
from tests.bench.gallery.strangers import Population
from wire.protection import quantise
from wire.times import EPOCH_US

DAYS: Final = 28
RETENTION_DAYS: Final = 7
PER_INSERT: Final = 2_000
SHARDS: Final = 4


def main() -> None:
    """Live through the month and print what each week cost."""
    one_thread_each()
    folder, per_day = Path(sys.argv[1]), int(sys.argv[2])
    gallery = Gallery.open(f"chdb://{folder / 'month'}")
    people, keys, rng = Population.of(1, 10), TableKeys(), np.random.default_rng(3)
    days = []
    for day in range(DAYS):
        epoch = FIRST_EPOCH + day
        facts = _live(gallery, epoch, per_day, people, keys, rng)
        days.append(facts)
        print(json.dumps(facts), file=sys.stderr, flush=True)
    print(json.dumps(_compared(days) | {"rows_per_day": per_day, "days": DAYS,
                                        "retention_days": RETENTION_DAYS}))  # fmt: skip
    gallery.close()


def _live(
    gallery: Gallery, epoch: int, per_day: int, people: Population, keys: TableKeys,
    rng: np.random.Generator,
) -> dict[str, float]:  # fmt: skip
    gallery.purge_before(epoch - RETENTION_DAYS + 1)
    insert_ms = []
    for number in range(per_day // PER_INSERT):
        shard = number % SHARDS
        templates = quantise(people.rows(rng, PER_INSERT, keys.matrix(epoch, shard)))
        batch = gallery_rows(rng, epoch, shard, templates)
        started_s = time.perf_counter()
        gallery.insert(batch)
        insert_ms.append((time.perf_counter() - started_s) * 1e3)
    scope = GalleryScope((epoch - RETENTION_DAYS) * EPOCH_US, (epoch + 1) * EPOCH_US, SPACE)
    search_ms = []
    for _ in range(3):
        started_s = time.perf_counter()
        search(gallery, keys, people.probes, 0.45, scope)
        search_ms.append((time.perf_counter() - started_s) * 1e3)
    stats = gallery.stats()
    return {
        "epoch": epoch, "rows": stats["sightings"], "insert_ms": median(insert_ms),
        "search_ms": median(search_ms), "memory_bytes": memory()["anonymous"],
        "disk_bytes": stats["table_bytes"] + stats["search_bytes"],
    }  # fmt: skip


def _compared(days: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    second, last = days[7:14], days[-7:]
    found = {}
    for name in ("insert_ms", "search_ms", "memory_bytes", "disk_bytes"):
        before, after = (median(day[name] for day in week) for week in (second, last))
        found[name] = {"second_week": round(before, 2), "last_week": round(after, 2),
                       "ratio": round(after / before, 3)}  # fmt: skip
    return found


if __name__ == "__main__":
    main()
