"""kill -9 of the broker and of the controller in mid-run, and TLS that cannot succeed."""

import os
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from controller.adapters.broker import Broker as Connection
from controller.adapters.broker import BrokerFailed
from sim.broker import Broker, find_mosquitto, free_port
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


def test_a_certificate_that_is_not_trusted_is_fatal_at_once(tmp_path: Path) -> None:
    port = free_port()
    with tls_mosquitto(tmp_path, port), pytest.raises(BrokerFailed, match="TLS"):
        connection(port).connect()


def test_a_certificate_that_is_not_trusted_is_fatal_after_an_absence_too(tmp_path: Path) -> None:
    port = free_port()
    controller = connection(port)
    controller.connect()
    assert controller.fatal is None
    with tls_mosquitto(tmp_path, port):
        wait_for(lambda: controller.fatal is not None, 20.0)
    controller.stop()
    assert "TLS" in str(controller.fatal)


def test_a_broker_that_only_hangs_up_is_tried_again(broker: Broker) -> None:
    controller = connection(broker.port)
    controller.connect()
    time.sleep(2.5)
    controller.stop()
    assert controller.fatal is None


@contextmanager
def tls_mosquitto(folder: Path, port: int) -> Iterator[None]:
    """A Mosquitto whose certificate nobody has signed but itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name)
        .public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    lines = [f"listener {port} 127.0.0.1", "allow_anonymous true",
             f"certfile {folder}/cert.pem", f"keyfile {folder}/key.pem"]  # fmt: skip
    if os.geteuid() == 0:
        lines.append("user root")
    (folder / "tls.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")
    process = subprocess.Popen(
        [find_mosquitto(), "-c", str(folder / "tls.conf")], stderr=subprocess.DEVNULL
    )
    try:
        wait_for(lambda: listens(port))
        yield
    finally:
        process.kill()
        process.wait()


def listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
        return True
    return False
