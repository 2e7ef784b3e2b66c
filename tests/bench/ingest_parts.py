"""A real controller process for the ingest benches, set up in a folder of its own."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from controller.config import Config, default_toml, load_config
from controller.setup import add_user, initialise
from sim.broker import BrokerSettings, free_port

PASSWORD = "a long enough password"
CITY_BROKER = BrokerSettings(max_inflight_messages=1_000, max_queued_messages=100_000)
"""What docs/ingest.md says a city's Mosquitto needs."""


def set_up(folder: Path, mqtt_port: int, workers: int) -> Config:
    """Initialise a controller with a technician `tom`."""
    text = default_toml(
        api_host="127.0.0.1", api_port=free_port(), broker_host="127.0.0.1",
        broker_port=mqtt_port, broker_tls=False,
    )  # fmt: skip
    path = initialise(folder, text + f"\n[ingest]\nworkers = {workers}\n")
    config = load_config(path if path.is_file() else folder / "controller.toml")
    add_user(config, "tom", "technician", PASSWORD)
    return config


@contextmanager
def controller(config: Config) -> Iterator[int]:
    """Run the controller; gives its process id once its API answers."""
    process = subprocess.Popen(
        [sys.executable, "-m", "controller.cli", "controller", "run", "--data-dir",
         str(config.data_dir)],
        stderr=(config.data_dir / "log").open("wb"),
    )  # fmt: skip
    try:
        with httpx.Client(base_url=config.api.base_url, timeout=60.0) as http:
            until(lambda: http.get("/v1/healthz").status_code == 200)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def log_in(http: httpx.Client) -> str:
    """Log `tom` in on this client and return his token."""
    token = str(http.post("/v1/login", json={"name": "tom", "password": PASSWORD}).json()["token"])
    http.headers["Authorization"] = f"Bearer {token}"
    return token


def until(holds: Callable[[], object], timeout_s: float = 60.0) -> None:
    """Wait until something holds; ends the bench if it does not in time."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            if holds():
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise SystemExit("bench ingest: the controller did not come up; see its log")
