"""`make bench [BENCH=edge|ingest|...]`: measure here, compare in the same run, write JSON."""

import json
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from controller.domain.match import best_similarity
from tests.bench.backup import backup
from tests.bench.edge.run import edge
from tests.bench.gallery.run import gallery
from tests.bench.ingest import ingest
from tests.bench.openset import openset
from tests.bench.privacy import privacy
from tests.bench.timing import median_ms
from wire.protection import dequantise

OUT = Path("build/bench")


def match() -> dict[str, object]:
    """Time the exact scan of protected templates against a scan of float32 vectors."""
    rng = np.random.default_rng(0)
    rows = 50_000
    templates = rng.integers(-127, 128, (rows, 192), dtype=np.int8)
    vectors = dequantise(templates)
    probes = vectors[:10]
    ours = median_ms(lambda: best_similarity(probes, dequantise(templates)))
    peer = median_ms(lambda: (vectors @ probes.T).max(axis=1))
    return {
        "rows": rows, "probes": len(probes), "int8_ms": ours, "numpy_float32_ms": peer,
        "ratio": round(ours / peer, 2), "int8_bytes_per_row": 192, "float32_bytes_per_row": 768,
    }  # fmt: skip


BENCHES: dict[str, Callable[[], dict[str, object]]] = {
    "backup": backup, "edge": edge, "gallery": gallery, "ingest": ingest, "match": match,
    "openset": openset, "privacy": privacy,
}  # fmt: skip


def main() -> None:
    """Run the named benchmarks, or all."""
    names = sys.argv[1:] or sorted(BENCHES)
    if unknown := [n for n in names if n not in BENCHES]:
        raise SystemExit(f"bench {unknown[0]!r}: use one of {', '.join(sorted(BENCHES))}")
    OUT.mkdir(parents=True, exist_ok=True)
    machine = {"machine": platform.machine(), "cores": os.cpu_count(),
               "python": platform.python_version()}  # fmt: skip
    for name in names:
        result = {"bench": name, "on": machine, **BENCHES[name]()}
        (OUT / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        # What has many sizes or participants is printed as a table.
        told = {k: v for k, v in result.items() if k not in ("sizes", "ours", "peers")}
        print(json.dumps(told, indent=2))


main()
