"""Our gallery, filled through its own door and searched through the matcher; one JSON line.

`python -m tests.bench.gallery.ours FOLDER ROWS [ROWS...]`: fills up to each number of rows in
turn and measures there. Up to `DURABLE_ROWS` rows go through ClickHouse, which tells insert rate
and disk; beyond that only the search files grow, as the search reads nothing else.
"""

import json
import os
import sys
import time
from pathlib import Path
from uuid import UUID

import numpy as np

from controller.adapters.blas import one_thread_each
from controller.adapters.gallery.gallery import Gallery
from controller.adapters.gallery.index import SearchIndex
from controller.adapters.gallery.store import SightingStore
from controller.services.ports import GalleryRow, GalleryScope
from tests.bench.gallery.machine import cached_bytes, drop_cached, memory
from tests.bench.gallery.rows import FIRST_EPOCH, gallery_rows
from tests.bench.gallery.searching import SPACE, TableKeys, search
from tests.bench.gallery.strangers import Population
from wire.protection import dequantise, quantise, rotation
from wire.times import EPOCH_US

DURABLE_ROWS = 3_000_000
ROWS_PER_SEGMENT = 500_000
ROWS_PER_INSERT = 5_000
SHARDS = 43
PROBES = 10
OPERATING = 0.589
"""The least cosine that the default of 20 false candidates per case-day asks of a mask pair."""
WIDE = 0.45
"""As wide as 20,000 false candidates per case-day."""


class Bench:
    """One gallery that grows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = SightingStore.open(f"chdb://{folder / 'gallery'}")
        self.index = SearchIndex(folder / "gallery-search")
        self.gallery = Gallery(self.store, self.index)
        self.people = Population.of(1, PROBES)
        self.keys = TableKeys()
        self.rng = np.random.default_rng(2)
        self.rows = 0
        self.exact: dict[float, set[UUID]] = {OPERATING: set(), WIDE: set()}
        self.insert_s = 0.0

    def grow(self, rows: int) -> None:
        """Fill up to this many rows; remembers what an exact scan of them would find."""
        while self.rows < rows:
            segment = self.rows // ROWS_PER_SEGMENT
            epoch, shard = FIRST_EPOCH + segment // SHARDS, segment % SHARDS
            count = min(ROWS_PER_INSERT, rows - self.rows)
            matrix = self.keys.matrix(epoch, shard)
            templates = quantise(self.people.rows(self.rng, count, matrix))
            batch = gallery_rows(self.rng, epoch, shard, templates)
            self._note(batch, templates, self.people.probes @ matrix.T)
            started_s = time.perf_counter()
            if self.rows < DURABLE_ROWS:
                self.gallery.insert(batch)
            else:
                self.index.append(batch)
            self.insert_s += time.perf_counter() - started_s
            self.rows += count

    def measure(self) -> dict[str, object]:
        """Search cold and warm at the default operating point and at a wide one."""
        self.index.checkpoint(self.index.mark(0))
        scope = GalleryScope(FIRST_EPOCH * EPOCH_US, (FIRST_EPOCH + 99) * EPOCH_US, SPACE, None)
        result: dict[str, object] = {"rows": self.rows}
        for least in self.exact:
            search(self.gallery, self.keys, self.people.probes, least, scope)
            drop_cached(self.folder)
            cold_s, found = self._timed(least, scope)
            used_s = time.process_time()
            warm = sorted(self._timed(least, scope)[0] for _ in range(5))
            used_s = (time.process_time() - used_s) / 5
            exact = self.exact[least]
            result[f"at_{least}"] = {
                "cold_rows_per_s": round(self.rows / cold_s),
                "warm_rows_per_s": round(self.rows / warm[2]),
                "warm_best_rows_per_s": round(self.rows / warm[0]),
                "rows_per_core_second": round(self.rows / used_s),
                "exact_candidates": len(exact),
                "recall": round(len(exact & found) / max(len(exact), 1), 6),
                "found": len(found),
                "page_cache_bytes": cached_bytes(self.folder / "gallery-search"),
            }
        return result | {"memory": memory()}

    def disk(self) -> dict[str, float]:
        """Return bytes per sighting; needs all rows to be durable."""
        self.store._client.command("OPTIMIZE TABLE sightings FINAL")
        stats = self.gallery.stats()
        return {
            "table_bytes_per_row": round(stats["table_bytes"] / self.rows, 1),
            "search_bytes_per_row": round(stats["search_bytes"] / self.rows, 1),
            "inserts_per_s": round(self.rows / self.insert_s),
        }

    def _timed(self, least: float, scope: GalleryScope) -> tuple[float, set[UUID]]:
        # A city has more shards than the rotations that are kept: each search makes them anew.
        rotation.cache_clear()
        started_s = time.perf_counter()
        found = search(self.gallery, self.keys, self.people.probes, least, scope)
        seconds = time.perf_counter() - started_s
        return seconds, {UUID(bytes=one.tobytes()) for one in found}

    def _note(self, batch: list[GalleryRow], templates: np.ndarray, probes: np.ndarray) -> None:
        best = (dequantise(templates) @ probes.T.astype(np.float32)).max(axis=1)
        for least, known in self.exact.items():
            known.update(batch[i].id for i in np.flatnonzero(best >= least))


def main() -> None:
    """Fill, measure, print."""
    one_thread_each()
    bench = Bench(Path(sys.argv[1]))
    result: dict[str, object] = {"probes": PROBES, "threads": os.cpu_count(), "sizes": []}
    sizes: list[dict[str, object]] = []
    for rows in map(int, sys.argv[2:]):
        bench.grow(rows)
        if rows <= DURABLE_ROWS:
            result["disk"] = bench.disk()
        sizes.append(bench.measure())
        print(json.dumps(sizes[-1]), file=sys.stderr, flush=True)
    print(json.dumps(result | {"sizes": sizes}))


if __name__ == "__main__":
    main()
