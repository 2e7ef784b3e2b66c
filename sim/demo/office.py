"""The demo's controller: set up and run by its own commands, used through its own API."""

import contextlib
import json
import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from sim.broker import free_port
from sim.demo.processes import Processes, run_command
from sim.errors import SimError

SIGHTLINE: Final = (sys.executable, "-m", "controller.cli")
NAME: Final = "controller"
_START_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who works at the controller; the password is random and never written down."""

    name: str
    role: str
    password: str

    @classmethod
    def invent(cls, name: str, role: str) -> "Person":
        """Return a person with a fresh random password."""
        return cls(name, role, secrets.token_urlsafe(18))


class Office:
    """One controller in a data directory, on a free loopback port that it keeps over restarts."""

    def __init__(self, data_dir: Path, processes: Processes) -> None:
        self.data_dir: Final = data_dir
        self.port: Final = free_port()
        self._processes = processes

    @property
    def url(self) -> str:
        """Where the API is."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def signing_public_b64(self) -> str:
        """The controller's public signing key, as `controller init` wrote it."""
        path = self.data_dir / "controller.pub.json"
        return str(json.loads(path.read_text(encoding="utf-8"))["signing_public_b64"])

    def initialise(self, broker_port: int) -> None:
        """Run `sightline controller init` for our ports."""
        run_command(
            [*SIGHTLINE, "controller", "init", "--data-dir", str(self.data_dir),
             "--api-port", str(self.port), "--broker-port", str(broker_port)]
        )  # fmt: skip

    def add_person(self, person: Person) -> None:
        """Run `sightline user add`; the password goes in on stdin only."""
        run_command(
            [*SIGHTLINE, "user", "add", person.name, "--role", person.role,
             "--data-dir", str(self.data_dir), "--password-stdin"],
            stdin=person.password + "\n",
        )  # fmt: skip

    def start(self) -> None:
        """Start the controller and wait until its API answers."""
        command = [*SIGHTLINE, "controller", "run", "--data-dir", str(self.data_dir)]
        self._processes.start(NAME, command)
        deadline_s = time.monotonic() + _START_TIMEOUT_S
        while not self._answers():
            self._processes.check([NAME])
            if time.monotonic() > deadline_s:
                raise SimError(f"controller: no answer on {self.url} in {_START_TIMEOUT_S:.0f} s")
            time.sleep(0.2)

    def stop(self) -> None:
        """Stop the controller in good order."""
        self._processes.stop(NAME)

    def kill(self) -> None:
        """kill -9 the controller."""
        self._processes.kill(NAME)

    def log_in(self, person: Person) -> "Desk":
        """Return a desk at which this person works."""
        client = httpx.Client(base_url=self.url, timeout=60.0)
        answer = client.post("/v1/login", json={"name": person.name, "password": person.password})
        client.headers["Authorization"] = f"Bearer {_checked(answer)['token']}"
        return Desk(client)

    def _answers(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/v1/healthz", timeout=2.0).status_code < 500
        return False


class Desk:
    """What one authenticated person can do through the API; errors are one-line `SimError`s."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def register(self, rows: Sequence[Mapping[str, object]]) -> None:
        """Register agents in bulk: all of them or none."""
        _checked(self._client.post("/v1/fleet", json=list(rows)))

    def stats(self) -> dict[str, Any]:
        """Return the controller's counters."""
        return _checked(self._client.get("/v1/stats"))

    def open_case(self, photo: Path, fields: Mapping[str, str]) -> str:
        """Open a case from a reference photo; return its id."""
        with photo.open("rb") as file:
            files = {"photos": (photo.name, file, "image/jpeg")}
            answer = self._client.post("/v1/cases", data=dict(fields), files=files)
        return str(_checked(answer)["case_id"])

    def approve(self, case_id: str) -> None:
        """Approve a case that somebody else opened."""
        _checked(self._client.post(f"/v1/cases/{case_id}/approve"))

    def investigate(self, case_id: str) -> None:
        """Start the investigation; `case` tells how far it is."""
        _checked(self._client.post(f"/v1/cases/{case_id}/investigate"))

    def case(self, case_id: str) -> dict[str, Any]:
        """Return a case's state and progress."""
        return _checked(self._client.get(f"/v1/cases/{case_id}"))

    def case_file(self, case_id: str, name: str) -> bytes:
        """Return one file that the report names, for example `evidence/<id>.jpg`."""
        return _bytes(self._client.get(f"/v1/cases/{case_id}/{name}"))

    def close_case(self, case_id: str) -> None:
        """Close a case; its data is deleted."""
        _checked(self._client.post(f"/v1/cases/{case_id}/close"))

    def status_of(self, path: str) -> int:
        """Return the HTTP status that a GET of this path gives."""
        return self._client.get(path).status_code


def _checked(answer: httpx.Response) -> dict[str, Any]:
    body = _bytes(answer)
    value = json.loads(body) if body else {}
    return value if isinstance(value, dict) else {"items": value}


def _bytes(answer: httpx.Response) -> bytes:
    if answer.is_success:
        return answer.content
    where = f"{answer.request.method} {answer.request.url.path}"
    words = " ".join(answer.text.split())[:300]
    with contextlib.suppress(ValueError, KeyError, TypeError):
        error = answer.json()["error"]
        words = f"{error['field']}: {error['message']}"
    raise SimError(f"controller: {where} gave {answer.status_code}: {words}")
