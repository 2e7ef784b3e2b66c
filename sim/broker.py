"""A real Mosquitto on a free loopback port, for the demo and for tests; it can be killed."""

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sim.errors import SimError

_PLACES: Final = (
    "/usr/sbin/mosquitto",
    "/usr/local/sbin/mosquitto",
    "/opt/homebrew/sbin/mosquitto",
)
_READY_TIMEOUT_S: Final = 10.0
_START_ATTEMPTS: Final = 5


class BrokerMissing(SimError):
    """Mosquitto is not installed."""


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """What may differ between two brokers; `None` leaves Mosquitto's own default in force."""

    persistence: bool = True
    autosave_interval_s: int | None = None
    max_queued_messages: int | None = None
    max_inflight_messages: int | None = None


def find_mosquitto() -> Path:
    """Return Mosquitto's path; raises `BrokerMissing` with one clear line if there is none."""
    for candidate in (shutil.which("mosquitto"), *_PLACES):
        if candidate is not None and Path(candidate).exists():
            return Path(candidate)
    raise BrokerMissing(
        "broker: Mosquitto was not found; install it with the system's package manager "
        "(Debian, Ubuntu: apt-get install mosquitto)"
    )


def free_port() -> int:
    """Return a TCP port that is free on the loopback interface right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Broker:
    """One Mosquitto process in a directory of its own, on 127.0.0.1 only.

    The port is chosen at the first start and kept over `kill` and `start`, so that clients find a
    restarted broker where they left it.
    """

    def __init__(self, directory: Path, settings: BrokerSettings | None = None) -> None:
        self.host: Final = "127.0.0.1"
        self.port = 0
        self._directory = directory
        self._settings = settings or BrokerSettings()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log_path(self) -> Path:
        """Where Mosquitto's own log goes."""
        return self._directory / "mosquitto.log"

    @property
    def pid(self) -> int | None:
        """The process id while the broker runs."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start and wait until it listens; raises `BrokerMissing` or `SimError`."""
        binary = find_mosquitto()
        self._directory.mkdir(parents=True, exist_ok=True)
        keep_port = self.port != 0
        for _ in range(_START_ATTEMPTS):
            self.port = self.port if keep_port else free_port()
            self._spawn(binary)
            if self._wait_until_listening():
                return
            self.kill()
        raise SimError(f"broker: Mosquitto did not start on port {self.port}; see {self.log_path}")

    def stop(self, timeout_s: float = 10.0) -> None:
        """Ask it to end (it saves its sessions) and wait; killed if it does not."""
        if self._process is None:
            return
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)
        self.kill()

    def kill(self) -> None:
        """kill -9, as a power cut would; sessions since the last save are gone."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def _spawn(self, binary: Path) -> None:
        config = self._directory / "mosquitto.conf"
        config.write_text("\n".join(self._config_lines()) + "\n", encoding="utf-8")
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [str(binary), "-c", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _config_lines(self) -> Iterator[str]:
        yield f"listener {self.port} {self.host}"
        yield "allow_anonymous true"
        yield "set_tcp_nodelay true"
        yield "log_dest stdout"
        yield "connection_messages false"
        if os.geteuid() == 0:
            # Mosquitto as root becomes user `mosquitto`, who may not write our directory.
            yield f"user {getpass.getuser()}"
        if self._settings.persistence:
            yield "persistence true"
            yield f"persistence_location {self._directory.resolve()}/"
        for key, value in (
            ("autosave_interval", self._settings.autosave_interval_s),
            ("max_queued_messages", self._settings.max_queued_messages),
            ("max_inflight_messages", self._settings.max_inflight_messages),
        ):
            if value is not None:
                yield f"{key} {value}"

    def _wait_until_listening(self) -> bool:
        process = self._process
        return process is not None and _until(
            lambda: _accepts(self.host, self.port) and process.poll() is None,
            give_up=lambda: process.poll() is not None,
        )


@contextlib.contextmanager
def running_broker(directory: Path, settings: BrokerSettings | None = None) -> Iterator[Broker]:
    """Give a started broker and stop it at the end, whatever happens."""
    broker = Broker(directory, settings)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


def _accepts(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1.0):
        return True
    return False


def _until(done: Callable[[], bool], *, give_up: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _READY_TIMEOUT_S
    while time.monotonic() < deadline:
        if done():
            return True
        if give_up():
            return False
        time.sleep(0.05)
    return False
