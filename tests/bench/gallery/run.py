"""`make bench BENCH=gallery`: search at three sizes, a month of days, and peers on the same rows.

`SIGHTLINE_BENCH_ROWS` (3000000 by default) is the smallest size; the others are three and ten
times as large. Needs 10 GB of disk at the default and takes about half an hour.
"""

import os
import shutil
import sys
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from tests.bench.children import ask
from tests.bench.edge.run import cpu_model
from tests.bench.gallery.peers_run import run_peers

FOLDER: Final = Path("build/bench/gallery").absolute()
CITY_ROWS: Final = 10_820 * 2_000 * 14
TIMEOUT_S: Final = 3_600.0
POINTS: Final = ("at_0.589", "at_0.45")


def gallery() -> dict[str, object]:
    """Return all figures; see docs/gallery.md for what they mean."""
    rows = int(os.environ.get("SIGHTLINE_BENCH_ROWS", "3000000"))
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    ours = _child("ours", FOLDER / "ours", [rows, rows * 10 // 3, rows * 10])
    month = _child("month", FOLDER / "month", [rows // 30])
    peers = run_peers(FOLDER, rows)
    result = {
        "cpu": cpu_model(), "load": os.getloadavg(), "ours": ours, "month": month,
        "at_city_scale": _city(ours), "linear": _linear(ours), "peers": _compared(peers),
    }  # fmt: skip
    _show(result)
    return result


def _child(module: str, folder: Path, arguments: list[int]) -> dict[str, Any]:
    print(f"{module}: {arguments}", file=sys.stderr, flush=True)
    folder.mkdir(parents=True)
    told = ask(
        sys.executable, f"tests.bench.gallery.{module}", [str(folder), *map(str, arguments)],
        timeout_s=TIMEOUT_S, one_thread=False,
    )  # fmt: skip
    shutil.rmtree(folder)
    if "failed" in told:
        raise SystemExit(f"bench gallery: {module} failed ({told['failed']})")
    return told


def _linear(ours: dict[str, Any]) -> dict[str, float]:
    """Return the seconds per row at the largest size over those at the smallest; 1 is linear."""
    sizes = ours["sizes"]
    return {
        point: round(sizes[0][point]["warm_rows_per_s"] / sizes[-1][point]["warm_rows_per_s"], 3)
        for point in POINTS
    }


def _city(ours: dict[str, Any]) -> dict[str, float]:
    """Extrapolate from the largest size to 303 million sightings."""
    largest, disk = ours["sizes"][-1], ours["disk"]
    each = disk["table_bytes_per_row"] + disk["search_bytes_per_row"]
    seconds = {
        f"{kind}_s_{point}": round(CITY_ROWS / largest[point][f"{kind}_rows_per_s"], 1)
        for point in POINTS
        for kind in ("warm", "cold")
    }
    return seconds | {
        "rows": CITY_ROWS,
        "disk_bytes": round(CITY_ROWS * each),
        "disk_bytes_per_sighting": round(each, 1),
        "memory_bytes_own": largest["memory"]["peak"],
        "page_cache_bytes_read_first": CITY_ROWS * 48,
    }


def _compared(peers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    own = next((one["rows_per_s"] for one in peers if one["name"] == "ours"), None)
    for one in peers:
        if own is not None and "rows_per_s" in one:
            one["ours_over_this"] = round(own / one["rows_per_s"], 2)
    return peers


def _show(result: dict[str, Any]) -> None:
    table = Table("", "M rows/s", "ours is x times as fast", "recall", "disk", "memory", "insert/s",
                  title=f"10 probes at cosine 0.45, {result['cpu']}")  # fmt: skip
    for one in result["peers"]:
        if "failed" in one:
            table.add_row(one["name"], one["failed"])
            continue
        table.add_row(
            one["name"], f"{one['rows_per_s'] / 1e6:.1f}", f"{one.get('ours_over_this', 0):.2f}",
            f"{one['recall']:.4f}", f"{one['disk_bytes_per_row']:.0f}",
            f"{one['memory_bytes_per_row']:.0f}", f"{one['insert_rows_per_s']:,}",
        )  # fmt: skip
    Console(stderr=True, width=120).print(table)
