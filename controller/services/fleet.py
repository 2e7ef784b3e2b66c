"""The registry of camera boxes: bulk registration, all or nothing."""

import base64
import binascii
import math
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from controller.services.refusals import Invalid, RowFault, RowsInvalid
from controller.services.stores import AuditStore, FleetStore
from controller.services.values import Agent, AgentStatus, Principal
from wire.errors import TopicInvalid
from wire.topics import check_agent_id

AGENTS_PER_SHARD: Final = 256
MAX_ROWS: Final = 20_000
_MAX_METRES: Final = 1_000_000.0
_CAMERA: Final = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_REQUIRED: Final = ("agent_id", "camera_id", "signing_public_b64", "sealing_public_b64", "x_m",
                    "y_m")  # fmt: skip
_OPTIONAL: Final = ("label", "coverage_radius_m")


class _Fault(Exception):
    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


class FleetService:
    """Registers agents in bulk (at most 20,000 rows) and lists them."""

    def __init__(
        self,
        store: FleetStore,
        audit: AuditStore,
        now_us: Callable[[], int],
        on_registered: Callable[[Sequence[Agent]], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._audit = audit
        self._now_us = now_us
        self.on_registered = on_registered
        self._lock = threading.Lock()

    def add(self, rows: Any, by: Principal) -> Sequence[Agent]:
        """Register all rows or, with every fault named by its line, none.

        Shards are filled with 256 agents each in order of registration.
        """
        if not isinstance(rows, list) or not 1 <= len(rows) <= MAX_ROWS:
            raise Invalid("fleet", f"must be a list of 1 to {MAX_ROWS} agents")
        with self._lock:
            known = list(self._store.agents())
            agents, faults = _check_rows(rows, known)
            if faults:
                raise RowsInvalid("fleet", faults)
            self._store.add_agents(agents, self._now_us())
        self._audit.append(
            at_us=self._now_us(), actor=by.name, action="fleet.added",
            subject=f"{len(agents)} agents", detail=f"{agents[0].agent_id}..{agents[-1].agent_id}",
        )  # fmt: skip
        self.on_registered(agents)
        return agents

    def statuses(self) -> Sequence[AgentStatus]:
        """Return all agents with what was last heard of them."""
        return self._store.statuses()

    def agents(self) -> Sequence[Agent]:
        """Return all agents in order of registration."""
        return self._store.agents()


def _check_rows(rows: list[Any], known: Sequence[Agent]) -> tuple[list[Agent], list[RowFault]]:
    taken: dict[str, dict[Any, str]] = {
        "agent_id": {one.agent_id: "the registry" for one in known},
        "camera_id": {one.camera_id: "the registry" for one in known},
        "signing_public_b64": {one.signing_public: "the registry" for one in known},
    }
    agents: list[Agent] = []
    faults: list[RowFault] = []
    for line, row in enumerate(rows, start=1):
        try:
            agent = _agent(row, shard=(len(known) + line - 1) // AGENTS_PER_SHARD)
            _claim(agent, taken, line)
        except _Fault as fault:
            faults.append(RowFault(line, fault.field, fault.message))
        else:
            agents.append(agent)
    return agents, faults


def _claim(agent: Agent, taken: dict[str, dict[Any, str]], line: int) -> None:
    values = (agent.agent_id, agent.camera_id, agent.signing_public)
    for (field, seen), value in zip(taken.items(), values, strict=True):
        if value in seen:
            raise _Fault(field, f"is already in {seen[value]}; remove one of the two")
    for seen, value in zip(taken.values(), values, strict=True):
        seen[value] = f"line {line}"


def _agent(row: Any, *, shard: int) -> Agent:
    if not isinstance(row, dict):
        raise _Fault("row", "must be a map of an agent's fields")
    _check_fields(row)
    radius = row.get("coverage_radius_m")
    return Agent(
        agent_id=_agent_id(row["agent_id"]),
        camera_id=_camera_id(row["camera_id"]),
        signing_public=_signing_key(row["signing_public_b64"]),
        sealing_public=_key("sealing_public_b64", row["sealing_public_b64"]),
        x_m=_metres("x_m", row["x_m"]),
        y_m=_metres("y_m", row["y_m"]),
        shard=shard,
        label=_label(row.get("label") or ""),
        coverage_radius_m=None if radius is None else _radius(radius),
    )


def _check_fields(row: dict[Any, Any]) -> None:
    missing = next((name for name in _REQUIRED if name not in row), None)
    if missing is not None:
        raise _Fault(missing, "is missing; add it")
    odd = next((name for name in row if name not in (*_REQUIRED, *_OPTIONAL)), None)
    if odd is not None:
        raise _Fault(str(odd)[:64], "is not a field of an agent; remove it")


def _agent_id(value: Any) -> str:
    try:
        return check_agent_id(str(value))
    except TopicInvalid as error:
        raise _Fault("agent_id", str(error).removeprefix("agent_id ")) from None


def _camera_id(value: Any) -> str:
    if not isinstance(value, str) or not _CAMERA.match(value):
        raise _Fault("camera_id", "use 1-64 letters, digits, '.', '-' or '_'")
    return value


def _label(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 128:
        raise _Fault("label", "use a text of at most 128 characters")
    return value


def _key(field: str, value: Any) -> bytes:
    try:
        raw = base64.b64decode(value, validate=True)
    except (binascii.Error, TypeError, ValueError):
        raw = b""
    if len(raw) != 32:
        raise _Fault(field, "must be 32 bytes in base64; copy it from the box's identity.json")
    return raw


def _signing_key(value: Any) -> bytes:
    raw = _key("signing_public_b64", value)
    try:
        Ed25519PublicKey.from_public_bytes(raw)
    except (ValueError, UnsupportedAlgorithm):
        message = "is no Ed25519 key; copy it from the box's identity.json"
        raise _Fault("signing_public_b64", message) from None
    return raw


def _metres(field: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _Fault(field, "must be a number of metres on the plan")
    if abs(value) > _MAX_METRES:
        raise _Fault(field, "is more than 1,000 km from the plan's origin; check the unit")
    return float(value)


def _radius(value: Any) -> float:
    metres = _metres("coverage_radius_m", value)
    if not 0 < metres <= 1_000:
        raise _Fault("coverage_radius_m", "must be more than 0 and at most 1000")
    return metres


def unknown_cameras(wanted: Iterable[str], agents: Sequence[Agent]) -> list[str]:
    """Return which of the wanted cameras nobody registered, in order."""
    known = {agent.camera_id for agent in agents}
    return [camera_id for camera_id in wanted if camera_id not in known]
