"""What every participant's process does alike: fill, find a setting, then search from cold.

`python -m <script> PHASE DATA HOME VARIANT [SETTING]`, one fresh process per phase (`fill`,
`tune`, `search`), each telling one JSON object as the last line of stdout. Only numpy and the
standard library: peers run this inside their own environments.
"""

import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, Final, Protocol

from tests.bench.gallery.machine import drop_cached, memory
from tests.bench.gallery.peers.dataset import F32, Dataset, Rows, share_found

THREADS: Final = 2
REPEATS: Final = 5
NEEDED_RECALL: Final = 0.995
SLACK: Final = 0.001
"""What is below the threshold by this much is still handed in: quantised cosines are off by it."""

Setting = Mapping[str, Any]


class Peer(Protocol):
    """One way to keep rows and to find those near probes; a process uses it for one phase."""

    packages: Sequence[str]

    def begin(self, home: Path, dataset: Dataset) -> None:
        """Make an empty store in an empty folder; train on the data set if that is needed."""

    def insert(self, first: int, block: F32) -> None:
        """Add the rows (n, 192) numbered `first` and up."""

    def finish(self) -> None:
        """Build what is built over all rows and leave everything on disk."""

    def settings(self, dataset: Dataset) -> Sequence[Setting]:
        """Return what can be tuned, the cheapest first; it is tried in this order."""
        ...

    def open(self, home: Path, dataset: Dataset) -> None:
        """Open the finished store."""

    def search(self, probes: F32, setting: Setting) -> Sequence[Rows]:
        """Return for each probe the rows at or above the threshold, in any order."""
        ...


def main_of(make: Callable[[str], Peer]) -> None:
    """Run one phase, as the command line says, on the peer made for a variant."""
    phase, data, home, variant, *rest = sys.argv[1:]
    # Libraries size their thread pools by the cores that they may use.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-THREADS:])
    peer, dataset, place = make(variant), Dataset.open(Path(data)), Path(home)
    if phase == "fill":
        told = fill(peer, dataset, place)
    elif phase == "tune":
        told = tune(peer, dataset, place)
    else:
        told = search(peer, dataset, place, json.loads(rest[0]), Path(data))
    sys.stdout.write("\n" + json.dumps(told) + "\n")
    sys.stdout.flush()


def fill(peer: Peer, dataset: Dataset, home: Path) -> dict[str, Any]:
    """Insert all rows block by block; reading the blocks is not timed."""
    home.mkdir(parents=True)
    index_s = _seconds(lambda: peer.begin(home, dataset))
    insert_s, first = 0.0, 0
    for block in dataset.blocks():
        started_s = time.perf_counter()
        peer.insert(first, block)
        insert_s += time.perf_counter() - started_s
        first += len(block)
    index_s += _seconds(peer.finish)
    rows = dataset.facts.rows
    return {
        "insert_s": round(insert_s, 2), "index_s": round(index_s, 2),
        "insert_rows_per_s": round(rows / (insert_s + index_s)),
        "disk_bytes_per_row": round(_bytes_below(home) / rows, 1),
        "fill_peak_bytes_per_row": round(memory()["peak"] / rows, 1),
        "versions": {name: version(name) for name in peer.packages},
        "python": platform.python_version(),
    }  # fmt: skip


def tune(peer: Peer, dataset: Dataset, home: Path) -> dict[str, Any]:
    """Try settings until one finds enough; else take the one that finds most."""
    peer.open(home, dataset)
    tried: list[dict[str, Any]] = []
    for setting in peer.settings(dataset):
        found = peer.search(dataset.probes, setting)
        tried.append({"setting": dict(setting), "recall": share_found(dataset.answers, found)})
        if tried[-1]["recall"] >= NEEDED_RECALL:
            break
    best = max(tried, key=lambda one: one["recall"])
    return {"setting": best["setting"], "tried": tried}


def search(
    peer: Peer, dataset: Dataset, home: Path, setting: Setting, data: Path
) -> dict[str, Any]:
    """Open and search with nothing in the page cache, then warm; tell times and memory."""
    drop_cached(home)
    drop_cached(data)
    before = memory()
    open_s = _seconds(lambda: peer.open(home, dataset))
    first_s = _seconds(lambda: peer.search(dataset.probes, setting))
    found = peer.search(dataset.probes, setting)
    walls, cores = zip(*(_timed(lambda: peer.search(dataset.probes, setting))
                         for _ in range(REPEATS)), strict=True)  # fmt: skip
    rows, after = dataset.facts.rows, memory()
    return {
        "open_s": round(open_s, 3), "first_search_s": round(first_s, 3),
        "median_s": round(median(walls), 4), "best_s": round(min(walls), 4),
        "rows_per_s": round(rows / median(walls)), "best_rows_per_s": round(rows / min(walls)),
        "rows_per_core_s": round(rows / median(cores)),
        "memory_bytes_per_row": _per_row(before, after, rows, "anonymous"),
        "mapped_bytes_per_row": _per_row(before, after, rows, "of_files"),
        "threads": THREADS, **_judged(dataset, found),
    }  # fmt: skip


def _judged(dataset: Dataset, found: Sequence[Rows]) -> dict[str, Any]:
    wanted = sum(len(rows) for rows in dataset.answers)
    recall = share_found(dataset.answers, found)
    return {
        "recall": round(recall, 6), "recall_reached": recall >= NEEDED_RECALL,
        "recall_of_genuine": round(share_found(dataset.genuine, found), 6),
        "answers": wanted,
        "returned_per_answer": round(sum(len(rows) for rows in found) / max(1, wanted), 4),
    }  # fmt: skip


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return wall seconds and CPU seconds of all threads."""
    wall, cores = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cores


def _seconds(work: Callable[[], object]) -> float:
    return _timed(work)[0]


def _per_row(before: dict[str, int], after: dict[str, int], rows: int, part: str) -> float:
    return round((after[part] - before[part]) / rows, 1)


def _bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
