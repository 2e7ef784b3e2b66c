"""The load tool on a real Mosquitto and a real controller: everything there exactly once."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from controller.adapters.gallery import Gallery
from sim.broker import Broker, BrokerSettings, running_broker
from sim.demo.office import Office, Person
from sim.demo.processes import Processes
from tests.integration.sim.street import wait_until
from tests.unit.sim.light.worlds import FakeController

COMMAND = [sys.executable, "-m", "sim.cli", "load"]
BOXES = 500


@dataclass
class City:
    """A broker and a controller with 500 registered boxes."""

    folder: Path
    broker: Broker
    office: Office
    env: dict[str, str]

    def command(self, *words: str, boxes: int = BOXES) -> list[str]:
        return [
            *COMMAND, "run", "--agents", str(boxes), "--secret-file", str(self.folder / "secret"),
            "--controller-key-file", str(self.office.data_dir / "controller.pub.json"),
            "--port", str(self.broker.port), "--json", str(self.folder / "load.json"), *words,
        ]  # fmt: skip

    def figures(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "load.json").read_text(encoding="utf-8")))


@pytest.fixture
def city(tmp_path: Path) -> Iterator[City]:
    processes = Processes(tmp_path / "logs")
    # The broker's own in-flight limit (20) would be what is measured.
    settings = BrokerSettings(max_inflight_messages=1_000, max_queued_messages=100_000)
    with running_broker(tmp_path / "broker", settings) as broker:
        office = Office(tmp_path / "controller", processes)
        office.initialise(broker.port)
        tom = Person.invent("tom", "technician")
        office.add_person(tom)
        office.start()
        body = {"name": tom.name, "password": tom.password}
        token = httpx.post(f"{office.url}/v1/login", json=body, timeout=30).json()["token"]
        env = {**os.environ, "SIGHTLINE_URL": office.url, "SIGHTLINE_TOKEN": token}
        made = City(tmp_path, broker, office, env)
        register = [
            *COMMAND, "register", "--agents", str(BOXES), "--secret-file", str(tmp_path / "secret"),
        ]  # fmt: skip
        subprocess.run(register, env=env, check=True, timeout=60)
        try:
            yield made
        finally:
            processes.stop_all()


@pytest.mark.slow
def test_five_hundred_boxes_with_storms_duplicates_and_late_batches_end_exactly_once(
    city: City,
) -> None:
    command = city.command(
        "--rate", "200", "--duration-s", "20", "--storm-every-s", "6", "--duplicate-share", "0.1",
        "--late-share", "0.1", "--late-s", "6", "--health-s", "10", "--verify",
        "--processes", "2", "--ledger", str(city.folder / "ledger"),
    )  # fmt: skip
    done = subprocess.run(command, env=city.env, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr + done.stdout
    figures = city.figures()
    assert figures["connections_reached"] == BOXES
    assert figures["made"] == figures["published"] == figures["acked"] > 200 * 20 * 0.8
    assert (figures["verify"]["lost"], figures["verify"]["duplicated"]) == (0, 0)
    assert figures["storms"] == 3
    assert figures["storm_drops"] > 0.9 * 3 * 0.2 * BOXES
    assert figures["reconnects"] >= 0.9 * figures["storm_drops"]
    assert figures["duplicates"] > 0.05 * figures["batches"]
    assert figures["late"] > 0.05 * figures["batches"]
    assert figures["memory_per_connection_bytes"] < 30_000
    city.office.stop()
    assert ledger(city.folder / "ledger") == stored(city.office)


def ledger(folder: Path) -> list[str]:
    """Every id that a box has published, as often as it stands there."""
    return sorted(line for file in folder.glob("*.ids") for line in file.read_text().split())


def stored(office: Office) -> list[str]:
    """Every id in the gallery of a controller that has stopped."""
    gallery = Gallery.open(f"chdb://{office.data_dir / 'gallery'}")
    try:
        return sorted(one.hex for one in gallery.ids())
    finally:
        gallery.close()


@pytest.mark.slow
def test_ctrl_c_drains_and_still_gives_the_figures(city: City) -> None:
    process = subprocess.Popen(
        city.command("--rate", "50", "--duration-s", "600", boxes=50), env=city.env,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    wait_until(lambda: count(city) > 100)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "acknowledged" in out
    assert "Traceback" not in errors
    figures = city.figures()
    assert figures["interrupted"]
    assert figures["outstanding"] == 0
    assert count(city) == figures["acked"] > 100


def count(city: City) -> int:
    headers = {"Authorization": f"Bearer {city.env['SIGHTLINE_TOKEN']}"}
    answer = httpx.get(f"{city.office.url}/v1/stats", headers=headers, timeout=30)
    return int(answer.json()["gallery_sightings"])


def test_boxes_that_nobody_registered_are_told_so_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"s" * 32)
    key = {"signing_public_b64": FakeController().public_b64}
    (tmp_path / "controller.pub.json").write_text(json.dumps(key))
    with running_broker(tmp_path / "broker") as broker:
        done = subprocess.run(
            [*COMMAND, "run", "--agents", "3", "--secret-file", str(tmp_path / "secret"),
             "--controller-key-file", str(tmp_path / "controller.pub.json"),
             "--port", str(broker.port), "--rate", "5", "--connect-timeout-s", "3"],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: keys: none delivered in 3 s")
