"""A Mosquitto, a station and three registered boxes, torn down whatever happens."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sim.broker import Broker, running_broker
from tests.integration.ingest.boxes import Box, Station, register


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with running_broker(tmp_path / "broker") as running:
        yield running


@pytest.fixture
def boxes(broker: Broker) -> Iterator[list[Box]]:
    made = [Box(f"box-{n}", f"cam-{n}") for n in range(3)]
    yield made
    for box in made:
        box.close()


@pytest.fixture
def station(broker: Broker, boxes: list[Box], tmp_path: Path) -> Iterator[Station]:
    register(tmp_path, boxes)
    made = Station(tmp_path, broker.port)
    made.start()
    yield made
    made.kill()
