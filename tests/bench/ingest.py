"""Ingest measured: a real Mosquitto, a real controller process, a publisher process, one machine.

Everything shares this machine's cores, publisher and broker included. After each run the gallery
is opened and compared with what was published: nothing lost, nothing twice.
"""

import base64
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import httpx

from controller.adapters.calibrations import known_spaces
from controller.adapters.gallery import Gallery
from controller.adapters.vault import read_signing_key
from controller.config import Config
from sim.broker import BrokerSettings, running_broker
from tests.bench.ingest_city import city
from tests.bench.ingest_load import Plan, agent_key
from tests.bench.ingest_parts import CITY_BROKER, controller, log_in, set_up, until

AGENTS = 512
SECONDS = 15
TARGET_PER_S = 20_000
LATENCY_RATE = 5_000


def ingest() -> dict[str, object]:
    """Measure sustained sightings/s and the latency at 5,000/s, without and with workers."""
    runs = []
    for workers in (0, 2):
        for name, batches, least, most, rate, window in (
            ("as fast as it goes, 64 a batch", 6_250, 64, 64, 0.0, 512),
            ("5,000/s, 4 to 16 a batch", LATENCY_RATE * SECONDS // 10, 4, 16, LATENCY_RATE, 20_000),
        ):
            figures = measure(workers, batches, least, most, rate, window)
            runs.append({"load": name, "workers": workers, **figures})
            print(json.dumps(runs[-1]))
    runs.append(city())
    print(json.dumps(runs[-1]))
    return {"agents": AGENTS, "target_per_s": TARGET_PER_S, "runs": runs}


def measure(
    workers: int, batches: int, least: int, most: int, rate: float, window: int,
    settings: BrokerSettings = CITY_BROKER,
) -> dict[str, object]:  # fmt: skip
    """Return the figures of one run on a fresh broker and a fresh controller."""
    with (
        tempfile.TemporaryDirectory(prefix="sightline-bench-") as folder,
        running_broker(Path(folder) / "broker", settings) as broker,
    ):
        root = Path(folder)
        config = set_up(root / "controller", broker.port, workers)
        plan = Plan(
            port=broker.port,
            controller_hex=_public_hex(config),
            space_id=sorted(known_spaces())[0],
            agents=AGENTS, batches=batches, least=least, most=most, rate=rate, window=window,
            ids_file=str(root / "ids"), seed=workers,
        )  # fmt: skip
        with _load(plan) as load, controller(config) as pid:
            with httpx.Client(base_url=config.api.base_url, timeout=60.0) as http:
                _register(http, config)
            figures = _run(load)
            figures["controller_cpu_s"] = _cpu_s(pid)
        return figures | _compare(config, root / "ids")


@contextmanager
def _load(plan: Plan) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.ingest_load"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        _say(process, json.dumps({name: getattr(plan, name) for name in Plan.__slots__}))
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.wait()


def _register(http: httpx.Client, config: Config) -> None:
    log_in(http)
    rows = [
        {
            "agent_id": f"load-{n}", "camera_id": f"cam-{n}", "x_m": float(n), "y_m": 0.0,
            "signing_public_b64": base64.b64encode(
                agent_key(n).public_key().public_bytes_raw()
            ).decode(),
            "sealing_public_b64": base64.b64encode((n + 1).to_bytes(32, "big")).decode(),
        }
        for n in range(AGENTS)
    ]  # fmt: skip
    assert http.post("/v1/fleet", json=rows).status_code == 201

    def ready() -> bool:
        stats = http.get("/v1/stats").json()
        return bool(
            stats["broker_connected"] and stats["ingest_workers_alive"] == config.ingest.workers
        )

    until(ready)


def _run(load: subprocess.Popen[str]) -> dict[str, object]:
    _say(load, "go")
    assert load.stdout is not None
    figures = json.loads(load.stdout.readline())
    del figures["plan"]
    return dict(figures)


def _compare(config: Config, ids_file: Path) -> dict[str, object]:
    raw = ids_file.read_bytes()
    published = {UUID(bytes=raw[at : at + 16]) for at in range(0, len(raw), 16)}
    gallery = Gallery.open(config.gallery_dsn)
    try:
        stored, count, differences = gallery.ids(), gallery.count(), gallery.verify()
    finally:
        gallery.close()
    return {
        "published": len(published), "lost": len(published - stored),
        "duplicated": count - len(stored), "strange": len(stored - published),
        "search_files_differ": len(differences),
    }  # fmt: skip


def _public_hex(config: Config) -> str:
    return read_signing_key(config.keys_dir).public_key().public_bytes_raw().hex()


def _cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process and its children so far."""
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    ).stdout.split()
    ticks = 0
    for one in (str(pid), *listed):
        fields = Path(f"/proc/{one}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return round(ticks / os.sysconf("SC_CLK_TCK"), 1)


def _say(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


if __name__ == "__main__":
    print(json.dumps(ingest(), indent=2))
