"""A whole controller behind FastAPI's test client: real records, gallery and keys."""

import base64
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from argon2 import PasswordHasher
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from fastapi.testclient import TestClient

from controller.adapters.enroller import ProcessEnroller
from controller.adapters.records.engine import Database
from controller.adapters.records.people import SqlAccounts, SqlAudit
from controller.build import Controller, build_controller
from controller.config import Config, default_toml, load_config
from controller.services.accounts import AccountService
from controller.services.enrolment import Enroller
from controller.setup import initialise
from wire.signing import public_bytes
from wire.times import to_us

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
PASSWORD = "a long enough password"
ENROLLER = Path(__file__).parent / "tiny_enroller.py"
GOOD_PHOTO = b"face:1"
PEOPLE = {
    "ivy": "investigator",
    "ida": "investigator",
    "noor": "approver",
    "ana": "approver",
    "tom": "technician",
    "max": "auditor",
    "sam": "administrator",
}


class SetClock:
    """A clock that stands until it is moved."""

    def __init__(self, moment: datetime = NOW) -> None:
        self.moment = moment

    def now_us(self) -> int:
        return to_us(self.moment)

    def advance(self, **delta: float) -> None:
        self.moment += timedelta(**delta)


@dataclass
class Outbox:
    """A publisher that keeps what it is given and tells whoever listens."""

    messages: list[tuple[str, bytes, bool]] = field(default_factory=list)
    listeners: list[Any] = field(default_factory=list)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        self.messages.append((topic, payload, retain))
        for listener in self.listeners:
            listener(topic, payload)

    def of_kind(self, kind: str) -> list[bytes]:
        return [payload for topic, payload, _ in self.messages if topic.endswith(f"/{kind}")]


@dataclass
class Device:
    """The keys of one camera box."""

    agent_id: str
    camera_id: str
    x_m: float = 0.0
    y_m: float = 0.0
    signing: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    sealing: X25519PrivateKey = field(default_factory=X25519PrivateKey.generate)

    def row(self) -> dict[str, Any]:
        return {
            "agent_id": self.agent_id,
            "camera_id": self.camera_id,
            "signing_public_b64": _b64(public_bytes(self.signing.public_key())),
            "sealing_public_b64": _b64(self.sealing.public_key().public_bytes_raw()),
            "x_m": self.x_m,
            "y_m": self.y_m,
        }


class World:
    """One controller, its people logged in, and a few registered cameras."""

    def __init__(
        self, directory: Path, enroller: Enroller | None = None, gallery_dsn: str = ""
    ) -> None:
        self.clock, self.outbox = SetClock(), Outbox()
        self.config = make_config(directory, gallery_dsn)
        self.controller = self._build(
            enroller or ProcessEnroller([sys.executable, str(ENROLLER)], 60)
        )
        self.http = TestClient(self.controller.app)
        for name, role in PEOPLE.items():
            self.controller.accounts.add_user(name, role, PASSWORD)
        self.tokens = {name: self._login(name) for name in PEOPLE}
        self.devices = [Device(f"box-{n}", f"cam-{n}", x_m=200.0 * n) for n in range(1, 4)]
        added = self.request("tom", "POST", "/v1/fleet", json=[one.row() for one in self.devices])
        assert added.status_code == 201, added.text

    def _build(self, enroller: Enroller) -> Controller:
        database = Database(self.config.records_dsn)
        accounts = AccountService(
            SqlAccounts(database),
            SqlAudit(database),
            self.clock.now_us,
            PasswordHasher(time_cost=1, memory_cost=64, parallelism=1),
        )
        return build_controller(
            self.config,
            clock=self.clock,
            enroller=enroller,
            publisher=self.outbox,
            accounts=accounts,
        )

    def request(self, who: str | None, method: str, path: str, **content: Any) -> httpx.Response:
        headers = {} if who is None else {"Authorization": f"Bearer {self.tokens[who]}"}
        headers |= content.pop("headers", {})
        return self.http.request(method, path, headers=headers, **content)

    def open_case(
        self, who: str = "ivy", photos: tuple[bytes, ...] = (GOOD_PHOTO,), **changes: Any
    ) -> httpx.Response:
        files = [("photos", (f"{n}.jpg", photo)) for n, photo in enumerate(photos)]
        fields = {**case_fields(), **changes}
        data = {key: value for key, value in fields.items() if value is not None}
        return self.request(who, "POST", "/v1/cases", data=data, files=files)

    def approved_case(self) -> str:
        case_id = str(self.open_case().json()["case_id"])
        approved = self.request("noor", "POST", f"/v1/cases/{case_id}/approve")
        assert approved.status_code == 200, approved.text
        return case_id

    def close(self) -> None:
        self.controller.asking.stop()
        self.controller.investigator.stop()
        self.controller.stores.gallery.close()
        self.controller.stores.database.close()

    def _login(self, name: str) -> str:
        answer = self.http.post("/v1/login", json={"name": name, "password": PASSWORD})
        return str(answer.json()["token"])


def make_config(directory: Path, gallery_dsn: str = "") -> Config:
    text = default_toml(
        api_host="127.0.0.1", api_port=8470, broker_host="127.0.0.1", broker_port=1883,
        broker_tls=False,
    )  # fmt: skip
    text += "reply_timeout_s = 3.0\n"  # in [budget], the last section
    text += f'[gallery]\ndsn = "{gallery_dsn}"\n'
    return load_config(initialise(directory, text))


def case_fields() -> dict[str, Any]:
    return {
        "label": "case 1",
        "legal_basis": "public-health-order",
        "onset_date": "2026-11-20",
        "scope_start": "2026-11-19T00:00:00Z",
        "scope_end": "2026-11-19T23:59:59Z",
        "expires_at": "2026-11-21T00:00:00Z",
    }


def unit(seed: int) -> np.ndarray:
    vector = np.random.default_rng(seed).standard_normal(192).astype(np.float32)
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def error_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, str(answer.json()["error"]["field"])


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
