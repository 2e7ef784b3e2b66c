"""`make bench [BENCH=edge|match]`: measure on this machine, compare in the same run, write JSON."""

import json
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from agent.models.pack import load_pack
from agent.models.runtime import load_network, runtime_name
from controller.domain.match import best_similarity
from wire.protection import dequantise

OUT = Path("build/bench")
REPEATS = 15


def median_ms(work: Callable[[], object]) -> float:
    """Return the median of some runs after a first one that is not counted."""
    work()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return round(float(np.median(times)) * 1000, 3)


def edge() -> dict[str, object]:
    """Time every network of the pack on one thread, the int8 ones beside the float ones."""
    pack, found = load_pack(), {}
    for file in pack.files:
        if file.path.suffix != ".tflite":
            continue
        network = load_network(file.path, threads=1)
        blank = np.zeros(network.inputs[0].shape, np.float32)
        found[f"{file.role}/{file.variant}_ms"] = median_ms(lambda n=network, b=blank: n.run(b))
    return {"runtime": runtime_name(), "threads": 1, **found}


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


BENCHES: dict[str, Callable[[], dict[str, object]]] = {"edge": edge, "match": match}


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
        print(json.dumps(result, indent=2))


main()
