"""Machines, disk, memory and network for a number of cameras, from measured rates.

`python -m tools.scaling [--cameras N ...] [--bench build/bench]`: rates come from
gallery.json and ingest.json in that folder where they are there, else from the defaults below, each
with the place where it was measured or the word that it is an assumption. docs/scaling.md shows the
formulas and the table that this prints.
"""

import argparse
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

CITIES = (10_000, 100_000, 1_000_000)
DAY_S = 86_400
OPERATING = "at_0.45"
MEASURED = {
    "sightings_per_camera_day": (2_000.0, "assumed (docs/load.md)"),
    "peak_factor": (2.5, "assumed: the evening hour of sim/load/demand.py over the day's mean"),
    "retention_days": (14.0, "default of retention.sightings_days"),
    "sightings_per_message": (1.0, "measured: a box that closes its batch four times a second"),
    "ingest_per_core_s": (10_000.0, "measured: docs/ingest.md, 20,000/s on 2 cores, 64 a message"),
    "message_core_s": (0.001, "assumed: 0.2 ms measured for both signatures, the rest reserve"),
    "search_per_core_s": (15e6, "measured: 30 million rows/s, warm, 10 probes, 2 cores"),
    "table_bytes": (208.0, "measured: docs/gallery.md, 3 million rows, merged"),
    "search_bytes": (219.0, "measured: docs/gallery.md"),
    "first_look_bytes": (48.0, "the bit planes that a search reads of every row"),
    "message_bytes": (255.0, "measured: a signed batch of one is 625 bytes"),
    "sighting_bytes": (370.0, "measured: each further sighting in a batch"),
    "answer_bytes": (200.0, "assumed: one signed acknowledgement a message"),
    "transport_bytes": (120.0, "assumed: MQTT, TLS, TCP and IP around a message"),
    "cameras_per_broker": (25_000.0, "assumed; 10,820 connections were run on one Mosquitto"),
    "search_s": (60.0, "wanted: ten probes against all days of all cameras"),
    "in_use": (0.5, "assumed: no more than this share of cores, memory and disk"),
}
"""What is known, and whence: the defaults of `Rates`."""
MACHINE_CORES, MACHINE_MEMORY, MACHINE_DISK = 16, 128e9, 2e12
"""A machine as one can buy it: cores, bytes of memory, bytes of NVMe."""


class BenchUnreadable(Exception):
    """A bench's file is there and does not say what it should."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What one sighting costs and how many there are; `MEASURED` says where each is from."""

    sightings_per_camera_day: float
    peak_factor: float
    retention_days: float
    sightings_per_message: float
    ingest_per_core_s: float
    message_core_s: float
    search_per_core_s: float
    table_bytes: float
    search_bytes: float
    first_look_bytes: float
    message_bytes: float
    sighting_bytes: float
    answer_bytes: float
    transport_bytes: float
    cameras_per_broker: float
    search_s: float
    in_use: float


@dataclass(frozen=True, slots=True)
class Need:
    """What a number of cameras needs, all machines together; rates are of the busiest hour."""

    cameras: int
    sightings_kept: float
    sightings_per_s: float
    messages_per_s: float
    network_in_bits_s: float
    network_out_bits_s: float
    ingest_cores: float
    search_cores: float
    scan_s_per_machine: float
    first_look_bytes: float
    table_bytes: float
    search_bytes: float
    cold_read_bytes_s: float
    machines: int


def default_rates() -> Rates:
    """Return the stored rates."""
    return Rates(**{name: value for name, (value, _) in MEASURED.items()})


def need(cameras: int, rates: Rates) -> Need:
    """Return what so many cameras need; docs/scaling.md has the formulas in words."""
    per_day = cameras * rates.sightings_per_camera_day
    kept = per_day * rates.retention_days
    peak = per_day / DAY_S * rates.peak_factor
    messages = peak / rates.sightings_per_message
    sighting_bits = 8 * peak * rates.sighting_bytes
    in_bits = sighting_bits + 8 * messages * (rates.message_bytes + rates.transport_bytes)
    out_bits = 8 * messages * (rates.answer_bytes + rates.transport_bytes)
    ingest_cores = peak / rates.ingest_per_core_s + messages * rates.message_core_s
    search_cores = kept / rates.search_per_core_s / rates.search_s
    first_look, table = kept * rates.first_look_bytes, kept * rates.table_bytes
    search = kept * rates.search_bytes
    machines = math.ceil(max(
        cameras / rates.cameras_per_broker,
        (ingest_cores + search_cores) / (MACHINE_CORES * rates.in_use),
        first_look / (MACHINE_MEMORY * rates.in_use),
        (table + search) / (MACHINE_DISK * rates.in_use),
    ))  # fmt: skip
    return Need(
        cameras=cameras, sightings_kept=kept, sightings_per_s=peak, messages_per_s=messages,
        network_in_bits_s=in_bits, network_out_bits_s=out_bits, ingest_cores=ingest_cores,
        search_cores=search_cores, first_look_bytes=first_look, table_bytes=table,
        scan_s_per_machine=kept / machines / rates.search_per_core_s
        / (MACHINE_CORES * rates.in_use),
        search_bytes=search, cold_read_bytes_s=first_look / rates.search_s, machines=machines,
    )  # fmt: skip


def measured_rates(folder: Path) -> tuple[Rates, dict[str, str]]:
    """Return the rates with what benches in `folder` measured, and where each is from.

    Raises `BenchUnreadable` if a file is there without its figures.
    """
    sources = {name: source for name, (_, source) in MEASURED.items()}
    found: dict[str, float] = {}
    for name, read in (("gallery.json", _gallery), ("ingest.json", _ingest)):
        path = folder / name
        if path.exists():
            try:
                figures = read(json.loads(path.read_text(encoding="utf-8")))
            except (ValueError, KeyError, TypeError, IndexError, StopIteration) as error:
                raise BenchUnreadable(
                    f"{path}: lacks a figure ({type(error).__name__}: {error}); make it again with "
                    f"`make bench BENCH={path.stem}` or remove it"
                ) from None
            found |= figures
            sources |= dict.fromkeys(figures, f"measured: {path}")
    return replace(default_rates(), **found), sources


def _gallery(bench: Any) -> dict[str, float]:
    part = next(one for one in _objects(bench) if "sizes" in one and OPERATING in one["sizes"][-1])
    largest = part["sizes"][-1][OPERATING]
    figures = {"search_per_core_s": largest["warm_rows_per_s"] / part["threads"]}
    if "disk" in part:
        figures["table_bytes"] = part["disk"]["table_bytes_per_row"]
        figures["search_bytes"] = part["disk"]["search_bytes_per_row"]
    return figures


def _ingest(bench: Any) -> dict[str, float]:
    fast = [run["sustained_per_s"] for run in bench["runs"] if "as fast" in run["load"]]
    return {"ingest_per_core_s": max(fast) / bench["on"]["cores"]}


def _objects(value: Any) -> Iterable[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _objects(one)


def table(needs: list[Need]) -> str:
    """Return the needs side by side as a Markdown table."""
    lines = ["| | " + " | ".join(f"{one.cameras:,} cameras" for one in needs) + " |",
             "|---|" + "---:|" * len(needs)]  # fmt: skip
    for name, unit, scale, digits in ROWS:
        cells = [f"{getattr(one, name) / scale:,.{digits}f}{unit}" for one in needs]
        lines.append(f"| {LABELS[name]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


ROWS = (
    ("sightings_kept", " million", 1e6, 0),
    ("sightings_per_s", "/s", 1, 0),
    ("messages_per_s", "/s", 1, 0),
    ("network_in_bits_s", " Mbit/s", 1e6, 1),
    ("network_out_bits_s", " Mbit/s", 1e6, 1),
    ("ingest_cores", "", 1, 1),
    ("search_cores", "", 1, 1),
    ("first_look_bytes", " GB", 1e9, 0),
    ("table_bytes", " GB", 1e9, 0),
    ("search_bytes", " GB", 1e9, 0),
    ("cold_read_bytes_s", " GB/s", 1e9, 1),
    ("machines", "", 1, 0),
    ("scan_s_per_machine", " s", 1, 0),
)
LABELS = {
    "sightings_kept": "sightings kept",
    "sightings_per_s": "sightings, busiest hour",
    "messages_per_s": "messages, busiest hour",
    "network_in_bits_s": "network, agents to broker, and again to the controller",
    "network_out_bits_s": "network back, acknowledgements",
    "ingest_cores": "cores for ingest",
    "search_cores": "cores for a warm search of everything in the wanted time",
    "first_look_bytes": "memory for a warm search (page cache)",
    "table_bytes": "disk, tables, one copy",
    "search_bytes": "disk, search files",
    "cold_read_bytes_s": "disk reads for a cold search in the wanted time",
    "machines": "machines of 16 cores, 128 GB, 2 TB: shards",
    "scan_s_per_machine": "a warm search of everything then takes",
}


def main() -> None:
    """Print the table and where its figures are from."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--cameras", type=int, nargs="+", default=list(CITIES))
    options.add_argument("--bench", type=Path, default=Path("build/bench"))
    given = options.parse_args()
    if min(given.cameras) < 1:
        options.error("--cameras: give numbers of at least 1")
    try:
        rates, sources = measured_rates(given.bench)
    except BenchUnreadable as error:
        raise SystemExit(f"scaling: {error}") from None
    print(table([need(cameras, rates) for cameras in given.cameras]), end="\n\n")
    print("| figure | value | whence |\n|---|---:|---|")
    for name in (field.name for field in fields(rates)):
        print(f"| `{name}` | {getattr(rates, name):,.12g} | {sources[name]} |")


if __name__ == "__main__":
    main()
