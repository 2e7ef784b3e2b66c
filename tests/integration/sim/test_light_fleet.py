"""Light agents on a real Mosquitto: many sockets in one thread, through a broker's death."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from sim.broker import Broker, running_broker
from sim.light.agent import LightAgent
from sim.light.fleet import LightFleet
from sim.light.identity import LightIdentity, create_fleet_secret
from tests.integration.sim.desk import Desk
from tests.unit.sim.light.worlds import COHORT, DAY, NOW_US, FakeController, make_agent
from wire import messages as m
from wire.protection import DIMENSION
from wire.times import epoch_of_us

EPOCH = epoch_of_us(1_795_132_800_000_000)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with running_broker(tmp_path / "broker") as running:
        yield running


@contextmanager
def running(fleet: LightFleet) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=fleet.run, args=(stop.is_set,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(15)
        assert not thread.is_alive()


def wait_until(holds: Callable[[], bool], timeout_s: float = 40.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.1)


def make_fleet(count: int, port: int) -> tuple[LightFleet, list[LightAgent], Desk]:
    controller = FakeController()
    agents = [
        make_agent(controller, number=n, batch_size=8, keyed=False) for n in range(1, count + 1)
    ]
    fleet = LightFleet(agents, ("127.0.0.1", port), lambda: NOW_US)
    return fleet, agents, Desk(controller, [agent.identity for agent in agents])


def test_every_sighting_arrives_although_the_broker_is_killed(broker: Broker) -> None:
    fleet, agents, desk = make_fleet(40, broker.port)
    desk.start(broker.port)
    desk.deliver_keys(EPOCH)
    with running(fleet):
        wait_until(lambda: fleet.status()["produced"] == fleet.status()["sightings"])
        broker.kill()
        desk.acking.set()
        broker.start()
        wait_until(lambda: fleet.status()["acked"] == fleet.status()["sightings"])
    desk.stop()
    assert set(desk.controller.received) == {one for agent in agents for one in agent.produced}


def test_births_and_deaths_are_told_and_queries_answered(broker: Broker) -> None:
    fleet, agents, desk = make_fleet(3, broker.port)
    desk.acking.set()
    desk.start(broker.port)
    desk.deliver_keys(EPOCH)
    with running(fleet):
        wait_until(lambda: fleet.status()["acked"] == fleet.status()["sightings"])
        desk.ask(desk.controller.query(agents[1].identity))
        wait_until(lambda: bool(desk.replies))
    wait_until(lambda: all(seen[-1] is False for seen in desk.states.values()))
    desk.stop()
    assert desk.replies[0].status is m.ReplyStatus.OK
    assert all(seen[0] is True for seen in desk.states.values())
    assert len(desk.states) == 3


def test_five_hundred_agents_stay_connected_in_one_thread(broker: Broker) -> None:
    fleet, _, _ = make_fleet(500, broker.port)
    with running(fleet):
        wait_until(lambda: fleet.status()["connected"] == 500, 30.0)
        time.sleep(2.0)
        assert fleet.status()["connected"] == 500
        assert threading.active_count() <= 4


def test_ctrl_c_ends_the_process_cleanly(broker: Broker, tmp_path: Path) -> None:
    create_fleet_secret(tmp_path / "secret")
    np.savez(tmp_path / "cohort.npz", cohort_mean=COHORT.mean, cohort_cov=np.eye(DIMENSION))
    controller = FakeController()
    desk = Desk(controller, [LightIdentity.derive((tmp_path / "secret").read_bytes(), 1)])
    desk.start(broker.port)
    command = [
        sys.executable, "-m", "sim.light", "--secret-file", str(tmp_path / "secret"),
        "--controller-key", controller.public_b64, "--cohort", str(tmp_path / "cohort.npz"),
        "--day", DAY.isoformat(), "--port", str(broker.port), "--count", "1",
        "--space-id", "s", "--variant", "v", "--model-pack-id", "p",
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True)
    wait_until(lambda: desk.states.get("light-001") == [True])
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=15)
    wait_until(lambda: desk.states["light-001"][-1] is False)
    desk.stop()
    assert process.returncode == 0
    assert b"Traceback" not in errors
