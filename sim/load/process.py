"""`python -m sim.load.process`: one load process; settings on stdin, a report a second on stdout.

Commands come on stdin, one word a line: `go`, `measure`, `drain`, `close`. When stdin ends, so does
it.
"""

import base64
import gc
import json
import logging
import os
import signal
import socket
import ssl
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sim.errors import SimError
from sim.light.agent import LightSettings
from sim.light.identity import LightIdentity, read_fleet_secret
from sim.light.strangers import load_cohort
from sim.load.box import Box, Kit, Sample
from sim.load.connection import Connection, Line
from sim.load.packets import Login
from sim.load.people import People
from sim.load.room import allow_files, is_loopback
from sim.load.settings import BrokerSettings, LoadSettings, from_line
from sim.load.tally import Latencies, Tally
from sim.load.traffic import Pace
from sim.load.transport import Poller, Target
from sim.load.worker import Worker, rss_bytes
from wire.messages import Sighting

_LOG: Final = logging.getLogger(__name__)
REPORT_EVERY_S: Final = 1.0
_GOODBYE_S: Final = 20.0


def _now_us() -> int:
    return time.time_ns() // 1_000


class Ledger:
    """Writes the id of every new sighting, one hex text a line; nothing without a folder."""

    def __init__(self, folder: Path | None, first: int) -> None:
        self._file = (
            None if folder is None else (folder / f"{first}.ids").open("w", encoding="ascii")
        )

    def note(self, sightings: Sequence[Sighting]) -> None:
        """Write the ids of sightings that are published for the first time."""
        if self._file is not None:
            self._file.writelines(f"{one.id.hex}\n" for one in sightings)

    def close(self) -> None:
        """Write what is left."""
        if self._file is not None:
            self._file.close()


class Orders:
    """Reads words from a pipe as they come; `ended` once the parent is gone."""

    def __init__(self, fd: int) -> None:
        self.ended = False
        self._fd, self._rest, self._words = fd, b"", list[str]()
        os.set_blocking(fd, False)

    def __call__(self) -> None:
        """Read what has come."""
        try:
            data = os.read(self._fd, 4_096)
        except BlockingIOError:
            return
        self.ended = self.ended or not data
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._words += [line.decode(errors="replace").strip() for line in lines]

    def take(self) -> list[str]:
        """Return the words that have come since."""
        words, self._words = self._words, []
        return words


def target(broker: BrokerSettings) -> Target:
    """Find the broker's address and make the TLS context; raises `SimError` naming the mend."""
    if not broker.tls and not is_loopback(broker.host):
        raise SimError(f"tls: without TLS only this machine may be reached, not {broker.host}")
    try:
        found = socket.getaddrinfo(broker.host, broker.port, type=socket.SOCK_STREAM)[0]
        context = None
        if broker.tls:
            ca_file = None if broker.ca_file is None else str(broker.ca_file)
            context = ssl.create_default_context(cafile=ca_file)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if broker.cert_file is not None:
                context.load_cert_chain(broker.cert_file, broker.key_file)
    except OSError as error:
        raise SimError(f"broker: cannot use {broker.host} or its certificates ({error})") from None
    family, address = found[0], (str(found[4][0]), int(found[4][1]))
    return Target(family, address, broker.host, broker.sources, context)


def build(settings: LoadSettings, poller: Poller, ledger: Ledger) -> Worker:
    """Put one process's worker together."""
    rng = np.random.default_rng([settings.seed, settings.fleet.first])
    kit = _kit(settings, rng, ledger)
    line = Line(
        target=target(settings.broker), poller=poller, tally=kit.tally, rng=rng,
        clock_s=time.monotonic, clock_us=_now_us, keepalive_s=settings.broker.keepalive_s,
        login=_login(settings.broker),
    )  # fmt: skip
    baseline = rss_bytes()
    connections = _connections(settings, kit, line)
    # These live until the end: looking for cycles among them again and again helps nobody.
    gc.collect()
    gc.freeze()
    return Worker(
        connections,
        kit=kit,
        poller=poller,
        demand=settings.demand.demand(settings.total),
        faults=settings.faults,
        pace=Pace(
            settings.fleet.count / settings.total, settings.batch, settings.linger_s,
            settings.health_s,
        ),
        rng=rng,
        clock_s=time.monotonic,
        clock_us=_now_us,
        baseline_rss_bytes=baseline,
    )  # fmt: skip


def _kit(settings: LoadSettings, rng: np.random.Generator, ledger: Ledger) -> Kit:
    fleet = settings.fleet
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(fleet.controller_key_b64))
    return Kit(
        settings=LightSettings(key, fleet.space_id, fleet.variant, fleet.model_pack_id),
        people=People(load_cohort(fleet.cohort_file), rng),
        tally=Tally(),
        latencies=Latencies(),
        sample=Sample(),
        checked_share=settings.checked_share,
        note=ledger.note,
    )


def _connections(settings: LoadSettings, kit: Kit, line: Line) -> list[Connection]:
    fleet, secret = settings.fleet, read_fleet_secret(settings.fleet.secret_file)
    start_s, now_us = time.monotonic(), _now_us()
    return [
        Connection(
            Box(LightIdentity.derive(secret, fleet.first + place), kit, now_us),
            line,
            fleet.first + place,
            start_s + place / settings.connect_per_s,
        )
        for place in range(fleet.count)
    ]


def _login(broker: BrokerSettings) -> Login | None:
    if broker.username is None:
        return None
    if broker.password_file is None:
        return Login(broker.username)
    try:
        return Login(broker.username, broker.password_file.read_bytes().strip())
    except OSError as error:
        raise SimError(
            f"password_file: cannot read {broker.password_file} ({error.strerror}); mend its path"
        ) from None


def serve(worker: Worker, orders: Orders) -> None:
    """Run until `close` comes or the parent is gone."""
    report_s = time.monotonic()
    while not orders.ended:
        worker.step()
        for word in orders.take():
            if word == "go":
                worker.go()
            elif word == "measure":
                worker.measure()
            elif word == "drain":
                worker.drain()
            elif word == "close":
                worker.close(_GOODBYE_S)
                _say(worker.report().to_json())
                return
        if time.monotonic() >= report_s:
            report_s = time.monotonic() + REPORT_EVERY_S
            _say(worker.report().to_json())
    worker.close(0.0)


def _say(value: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def main() -> int:
    """Read the settings, serve, and tell any error as JSON; returns the exit code."""
    logging.basicConfig(
        level=logging.ERROR, format="ts=%(asctime)s level=%(levelname)s logger=%(name)s %(message)s"
    )
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        # Unbuffered: what comes after the first line is for `Orders`.
        pipe = open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)  # noqa: SIM115
        settings = from_line(pipe.readline())
        allow_files(settings.fleet.count)
        poller, ledger = Poller(), Ledger(settings.ledger_dir, settings.fleet.first)
        orders = Orders(sys.stdin.fileno())
        worker = build(settings, poller, ledger)
        poller.listen(sys.stdin.fileno(), orders)
        serve(worker, orders)
        ledger.close()
    except SimError as error:
        _say({"error": str(error)})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
