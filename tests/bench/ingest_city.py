"""Latency with a whole city connected: `sightline sim load` against a real broker and controller.

The tool, the broker and the controller share this machine's cores. Traffic runs for a while
before it counts, so that births, keys and the first batches are behind.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx

from sim.broker import running_broker
from sim.load.register import fleet_rows, fleet_secret
from sim.load.room import allow_files
from tests.bench.ingest_parts import CITY_BROKER, controller, log_in, set_up, until

CAMERAS = 10_820
RATE = 5_000
LINGER_S = 15
WARM_UP_S, SECONDS = 30, 60
TIMEOUT_S = 400.0


def city() -> dict[str, object]:
    """Return the figures of one run; see docs/load.md."""
    allow_files(CAMERAS)
    with (
        tempfile.TemporaryDirectory(prefix="sightline-bench-") as folder,
        running_broker(Path(folder) / "broker", CITY_BROKER) as broker,
    ):
        root = Path(folder)
        config = set_up(root / "controller", broker.port, workers=0)
        with controller(config), httpx.Client(base_url=config.api.base_url, timeout=60.0) as http:
            token = log_in(http)
            rows = list(fleet_rows(fleet_secret(root / "secret"), 1, CAMERAS))
            assert http.post("/v1/fleet", json=rows).status_code == 201
            until(lambda: http.get("/v1/stats").json()["broker_connected"])
            public = config.keys_dir.parent / "controller.pub.json"
            found = _load(root, broker.port, public, config.api.base_url, token)
    return {
        "load": f"{RATE}/s from {CAMERAS} connections, batches closed after {LINGER_S} s",
        "sightings_per_s": round(found["acked_per_s"]),
        "latency_s": found["latency_s"],
        "connections": found["connections_reached"],
        "published": found["published"],
        "lost": found["verify"]["lost"],
        "duplicated": found["verify"]["duplicated"],
        "sightings_per_batch": round(found["sightings_per_batch"], 1),
        "load_tool_cpu_s": round(found["cpu_s"], 1),
    }


def _load(root: Path, port: int, public: Path, url: str, token: str) -> dict[str, object]:
    out = root / "load.json"
    subprocess.run(
        [sys.executable, "-m", "sim.cli", "load", "run", "--agents", str(CAMERAS),
         "--secret-file", str(root / "secret"), "--controller-key-file", str(public),
         "--port", str(port), "--rate", str(RATE), "--linger-s", str(LINGER_S),
         "--warm-up-s", str(WARM_UP_S), "--duration-s", str(SECONDS),
         "--ack-check-share", "0.05", "--verify", "--json", str(out)],
        env=os.environ | {"SIGHTLINE_URL": url, "SIGHTLINE_TOKEN": token},
        check=False, timeout=TIMEOUT_S, stdout=sys.stderr,
    )  # fmt: skip
    return dict(json.loads(out.read_text(encoding="utf-8")))
