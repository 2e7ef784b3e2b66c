"""Worker processes under load, kill -9 of them and of their owner: each sighting once."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sim.broker import Broker
from tests.integration.ingest.boxes import Box, Station, register, wait_for
from tests.integration.ingest.test_faults import everything_is_there_once, sending
from wire.signing import sign


@pytest.fixture
def team(broker: Broker, boxes: list[Box], tmp_path: Path) -> Iterator[Station]:
    """A station whose two workers do the receiving and verifying."""
    register(tmp_path, boxes)
    made = Station(tmp_path, broker.port, workers=2)
    made.start()
    yield made
    made.kill()


def is_alive(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2][1] != "Z"
    return False


def ids_of(*boxes: Box) -> list[str]:
    return sorted(str(one) for box in boxes for one in box.sent_ids)


def test_workers_store_each_sighting_once_and_refuse_with_the_same_reasons(
    broker: Broker, boxes: list[Box], team: Station
) -> None:
    for box in boxes:
        box.connect(broker.port)
        box.publish("sightings", sign(box.batch(space_id="unknown"), box.key))
        box.publish("sightings", sign(box.batch(), Ed25519PrivateKey.generate()))
        box._seq -= 1
        for _ in range(10):
            box.spool(box.batch())
    wait_for(lambda: not any(box.unacked for box in boxes))
    facts = team.facts()
    assert facts["ids"] == ids_of(*boxes)
    assert facts["count"] == 3 * 10 * 4
    assert facts["differences"] == []
    assert facts["refused"] == 6
    assert [box.acked() for box in boxes] == [11, 11, 11]


@pytest.mark.slow
def test_a_worker_killed_under_load_loses_nothing_and_is_started_again(
    broker: Broker, boxes: list[Box], team: Station
) -> None:
    with sending(boxes, broker.port):
        for least in (5, 20):
            wait_for(lambda least=least: boxes[0].acked() > least)
            os.kill(team.facts()["pids"][0], signal.SIGKILL)
            wait_for(lambda: len(team.facts()["pids"]) == 2)
    everything_is_there_once(boxes, team)
    assert team.facts()["restarts"] == 2
    assert team.facts()["differences"] == []


@pytest.mark.slow
def test_an_owner_killed_under_load_takes_its_workers_along_and_loses_nothing(
    broker: Broker, boxes: list[Box], team: Station
) -> None:
    with sending(boxes, broker.port):
        for least in (5, 20):
            wait_for(lambda least=least: boxes[0].acked() > least)
            workers = team.facts()["pids"]
            team.kill()
            wait_for(lambda workers=workers: not any(is_alive(pid) for pid in workers), 10.0)
            team.start()
    everything_is_there_once(boxes, team)
    assert team.facts()["differences"] == []


@pytest.mark.parametrize("workers", [0, 2])
def test_a_full_disk_holds_back_the_broker_even_over_a_kill(
    broker: Broker, boxes: list[Box], tmp_path: Path, workers: int
) -> None:
    register(tmp_path, boxes)
    team = Station(tmp_path, broker.port, workers)
    full = tmp_path / "disk-full"
    try:
        team.start()
        full.touch()
        box = boxes[0]
        # This box never sends again: what the killed process held must come from the broker.
        box.connect(broker.port, resending=False)
        for _ in range(60):
            box.spool(box.batch())
        wait_for(lambda: team.facts()["failures_total"] > 0)
        assert box.acks == []
        team.kill()
        full.unlink()
        team.start()
        wait_for(lambda: box.acked() == 60)
        facts = team.facts()
    finally:
        team.kill()
    assert facts["ids"] == ids_of(box)
    assert (facts["count"], facts["differences"]) == (240, [])


def test_a_full_disk_that_empties_is_caught_up_without_a_restart(
    broker: Broker, boxes: list[Box], team: Station
) -> None:
    full = team.folder / "disk-full"
    full.touch()
    box = boxes[0]
    box.connect(broker.port, resending=False)
    for _ in range(300):
        box.spool(box.batch(1))
    wait_for(lambda: team.facts()["failures_total"] > 1)
    assert box.acks == []
    full.unlink()
    wait_for(lambda: box.acked() == 300)
    assert team.facts()["count"] == 300


@pytest.mark.parametrize("fewer", [0, 1])
def test_sessions_of_workers_no_longer_wanted_take_no_share(
    broker: Broker, boxes: list[Box], team: Station, fewer: int
) -> None:
    box = boxes[0]
    box.connect(broker.port, resending=False)
    team.stop()
    team.workers = fewer
    team.start()
    noted = team.folder / "ingest-sessions"
    wait_for(lambda: int(noted.read_text()) == fewer)
    for _ in range(30):
        box.spool(box.batch())
    wait_for(lambda: box.acked() == 30)
    assert team.facts()["ids"] == ids_of(box)


def test_an_owner_that_gets_workers_leaves_the_sightings_to_them(
    broker: Broker, boxes: list[Box], station: Station
) -> None:
    box = boxes[0]
    box.connect(broker.port, resending=False)
    station.stop()
    station.workers = 2
    station.start()
    for _ in range(30):
        box.spool(box.batch())
    wait_for(lambda: box.acked() == 30)
    assert station.facts()["repeated_batches_total"] == 0
