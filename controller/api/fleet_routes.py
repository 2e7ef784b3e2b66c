"""Log-in, fleet, figures and audit."""

import base64
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Response
from pydantic import BaseModel, ConfigDict, Field

from controller.adapters.metrics import CONTENT_TYPE
from controller.api.deps import Parts, allowed
from controller.services.values import AgentStatus, Principal
from wire.times import from_us

router = APIRouter(prefix="/v1")


class LoginRequest(BaseModel):
    """A name and its password."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(max_length=64)]
    password: Annotated[str, Field(max_length=256)]


def iso(value_us: int | None) -> str | None:
    """Return an ISO-8601 UTC time with a `Z`."""
    return None if value_us is None else from_us(value_us).isoformat().replace("+00:00", "Z")


@router.post("/login")
def login(body: LoginRequest, parts: Parts) -> dict[str, Any]:
    """Give a bearer token for eight hours."""
    token, expires_us = parts.accounts.login(body.name, body.password)
    return {"token": token, "expires_at": iso(expires_us)}


@router.get("/fleet")
def list_fleet(
    parts: Parts, _who: Annotated[Principal, Depends(allowed("fleet.read"))]
) -> dict[str, Any]:
    """List all agents with what was last heard of them."""
    statuses = parts.fleet.statuses()
    return {"agents_total": len(statuses), "agents": [_agent_json(one) for one in statuses]}


@router.post("/fleet", status_code=201)
def add_fleet(
    rows: Annotated[Any, Body()],
    parts: Parts,
    who: Annotated[Principal, Depends(allowed("fleet.add"))],
) -> dict[str, Any]:
    """Register agents in bulk, all or none."""
    added = parts.fleet.add(rows, who)
    return {"added": len(added), "shards": sorted({agent.shard for agent in added})}


@router.get("/stats")
def stats(
    parts: Parts, _who: Annotated[Principal, Depends(allowed("fleet.read"))]
) -> dict[str, int | float]:
    """Give figures of gallery, ingest and fleet."""
    return parts.stats()


@router.get("/audit")
def audit(
    parts: Parts,
    _who: Annotated[Principal, Depends(allowed("audit.read"))],
    after_seq: int = 0,
) -> dict[str, Any]:
    """Give up to 1,000 audit lines after a sequence number."""
    lines = parts.audit.lines(after_seq=after_seq)
    return {
        "lines": [
            {
                "seq": line.seq,
                "at": iso(line.at_us),
                "actor": line.actor,
                "action": line.action,
                "subject": line.subject,
                "detail": line.detail,
                "hash": line.hash,
                "prev_hash": line.prev_hash,
            }
            for line in lines
        ]
    }


@router.get("/healthz")
def healthz() -> dict[str, bool]:
    """Say that the process answers."""
    return {"ok": True}


metrics_router = APIRouter()


@metrics_router.get("/metrics")
def metrics(parts: Parts) -> Response:
    """Give figures in Prometheus' text format; counts only, nothing of a case."""
    return Response(parts.metrics(), media_type=CONTENT_TYPE)


def _agent_json(status: AgentStatus) -> dict[str, Any]:
    agent = status.agent
    return {
        "agent_id": agent.agent_id,
        "camera_id": agent.camera_id,
        "x_m": agent.x_m,
        "y_m": agent.y_m,
        "shard": agent.shard,
        "label": agent.label,
        "coverage_radius_m": agent.coverage_radius_m,
        "signing_public_b64": base64.b64encode(agent.signing_public).decode(),
        "online": status.online,
        "last_seen": iso(status.last_seen_us),
        "space_id": status.space_id,
        "variant": status.variant,
        "health": status.health,
    }
