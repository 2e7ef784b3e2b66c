"""Load connections driven by hand in this process, and a Mosquitto with TLS and logins."""

import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sim.broker import Broker
from sim.light.identity import LightIdentity
from sim.load.box import Box, Kit, Sample
from sim.load.connection import Connection, Line
from sim.load.packets import Login
from sim.load.people import People
from sim.load.tally import Latencies, Tally
from sim.load.transport import Poller, Target
from tests.unit.sim.light.worlds import COHORT, FakeController


def wait_until(holds: Callable[[], bool], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.1)


@dataclass
class Street:
    """A few connections in this process, driven by hand."""

    kit: Kit
    poller: Poller
    connections: list[Connection]

    def until(self, holds: Callable[[], bool], timeout_s: float = 30.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not holds():
            assert time.monotonic() < deadline, "waited too long"
            for owner in self.poller.poll(0.02):
                assert isinstance(owner, Connection)
                owner.handle()
            for connection in self.connections:
                connection.tick(time.monotonic())
                connection.pump(time.monotonic())

    def all_up(self) -> bool:
        return all(connection.up for connection in self.connections)


def now_us() -> int:
    return time.time_ns() // 1_000


def make_street(
    controller: FakeController,
    port: int,
    count: int,
    tls: ssl.SSLContext | None = None,
    login: Login | None = None,
) -> Street:
    rng = np.random.default_rng(5)
    kit = Kit(controller.settings(), People(COHORT, rng, 20), Tally(), Latencies(), Sample())
    target = Target(2, ("127.0.0.1", port), "localhost", tls=tls)
    poller = Poller()
    line = Line(target, poller, kit.tally, rng, time.monotonic, now_us, 2, login)
    boxes = [Box(LightIdentity.derive(b"s" * 32, n), kit, now_us()) for n in range(1, count + 1)]
    return Street(kit, poller, [Connection(box, line, n, 0.0) for n, box in enumerate(boxes)])


class Authority:
    """A certificate authority of its own, and a broker's certificate for `localhost` from it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "city")])
        self.ca_file, self.cert_file, self.key_file = (
            folder / one for one in ("ca.pem", "server.pem", "server.key")
        )
        own = _certificate(name, name, key, key, x509.BasicConstraints(True, None))
        self.ca_file.write_bytes(_pem(own))
        host = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
        self.cert_file.write_bytes(_pem(_certificate(host, name, server_key, key, names)))
        self.key_file.write_bytes(
            server_key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )

    def client_context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca_file))


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType,
) -> x509.Certificate:  # fmt: skip
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(extension, critical=False)
        .sign(signer, hashes.SHA256())
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


class TlsBroker(Broker):
    """Mosquitto that speaks TLS only; who gives a name must know the password `secret`."""

    def __init__(self, directory: Path, authority: Authority) -> None:
        super().__init__(directory)
        directory.mkdir()
        self._authority = authority
        self._passwords = directory / "passwords"
        self._passwords.touch(mode=0o600)
        subprocess.run(
            ["mosquitto_passwd", "-b", str(self._passwords), "light-001", "secret"], check=True
        )

    def _config_lines(self) -> Iterator[str]:
        yield from super()._config_lines()
        yield f"certfile {self._authority.cert_file}"
        yield f"keyfile {self._authority.key_file}"
        yield f"password_file {self._passwords}"
