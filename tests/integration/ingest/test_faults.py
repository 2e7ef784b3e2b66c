"""kill -9 of the broker and of the controller in mid-run, and TLS that cannot succeed."""

import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

from controller.adapters.broker import Broker as Connection
from controller.adapters.broker import BrokerFailed
from sim.broker import Broker, free_port
from tests.integration.ingest.boxes import Box, Station, wait_for

BATCHES = 60


@contextmanager
def sending(boxes: list[Box], port: int) -> Iterator[None]:
    """Let every box spool its batches, some hundred a second, while the block does its harm."""
    for box in boxes:
        box.connect(port)
    stop = Event()

    def feed() -> None:
        for _ in range(BATCHES):
            for box in boxes:
                box.spool(box.batch())
            if stop.wait(0.03):
                return

    thread = Thread(target=feed)
    thread.start()
    try:
        yield
        thread.join(60)
    finally:
        stop.set()
        thread.join(60)


def everything_is_there_once(boxes: list[Box], station: Station) -> None:
    wait_for(lambda: not any(box.unacked for box in boxes), 120.0)
    facts = station.facts()
    assert facts["ids"] == sorted(str(one) for box in boxes for one in box.sent_ids)
    assert facts["count"] == len(boxes) * BATCHES * 4


@pytest.mark.slow
def test_a_broker_killed_in_mid_run_loses_no_sighting(
    broker: Broker, boxes: list[Box], station: Station
) -> None:
    with sending(boxes, broker.port):
        wait_for(lambda: boxes[0].acked() > 5)
        broker.kill()
        time.sleep(0.5)
        broker.start()
    everything_is_there_once(boxes, station)


@pytest.mark.slow
def test_a_controller_killed_in_mid_run_loses_no_sighting(
    broker: Broker, boxes: list[Box], station: Station
) -> None:
    with sending(boxes, broker.port):
        for least in (5, 20):
            wait_for(lambda least=least: boxes[0].acked() > least)
            station.kill()
            station.start()
    everything_is_there_once(boxes, station)


def connection(port: int) -> Connection:
    return Connection(
        host="127.0.0.1", port=port, client_id="controller", tls=ssl.create_default_context(),
        subscriptions=(), on_delivery=lambda _delivery: None,
    )  # fmt: skip


def test_tls_to_a_broker_without_tls_is_fatal_at_once(broker: Broker) -> None:
    with pytest.raises(BrokerFailed, match="TLS"):
        connection(broker.port).connect()


def test_tls_that_fails_once_the_broker_is_back_is_fatal_too(tmp_path: Path) -> None:
    late = Broker(tmp_path / "late")
    late.port = free_port()
    controller = connection(late.port)
    controller.connect()
    assert controller.fatal is None
    with running_late(late):
        wait_for(lambda: controller.fatal is not None, 20.0)
    controller.stop()
    assert "TLS" in str(controller.fatal)


@contextmanager
def running_late(late: Broker) -> Iterator[None]:
    late.start()
    try:
        yield
    finally:
        late.stop()
