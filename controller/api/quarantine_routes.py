"""Refused messages: list, show, send through ingest again, discard."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from controller.api.deps import Parts, allowed
from controller.api.fleet_routes import iso
from controller.services.ingest_ports import Quarantined
from controller.services.ingest_quarantine import MAX_AT_ONCE
from controller.services.values import Principal

router = APIRouter(prefix="/v1/quarantine")
_Handler = Annotated[Principal, Depends(allowed("quarantine.handle"))]


class Positions(BaseModel):
    """Which messages are meant."""

    model_config = ConfigDict(extra="forbid")

    positions: Annotated[list[int], Field(min_length=1, max_length=MAX_AT_ONCE)]


@router.get("")
def list_quarantine(
    parts: Parts, _who: _Handler, reason: str | None = None, after: int = 0, limit: int = 50
) -> dict[str, Any]:
    """List kept messages beyond a position, at most 200, and count all by reason."""
    found = parts.quarantine.listed(code=reason, after=after, limit=limit)
    return {"kept": parts.quarantine.kept(), "messages": [_plain(one) for one in found]}


@router.get("/{position}")
def show_quarantined(position: int, parts: Parts, _who: _Handler) -> dict[str, Any]:
    """Show one message and what its batch says of itself; never a template."""
    found, glance = parts.quarantine.show(position)
    batch = None if glance is None else asdict(glance) | {"sent_at": iso(glance.sent_us)}
    return _plain(found) | {"size_bytes": len(found.payload), "batch": batch}


@router.post("/replay")
def replay(body: Positions, parts: Parts, who: _Handler) -> dict[str, Any]:
    """Send up to 100 messages through ingest again."""
    outcomes = parts.quarantine.replay(body.positions, who)
    return {"messages": [asdict(one) for one in outcomes]}


@router.post("/discard")
def discard(body: Positions, parts: Parts, who: _Handler) -> dict[str, Any]:
    """Forget up to 100 messages for good."""
    return {"discarded": parts.quarantine.discard(body.positions, who)}


def _plain(one: Quarantined) -> dict[str, Any]:
    return {
        "position": one.position, "at": iso(one.at_us), "topic": one.topic, "reason": one.reason,
    }  # fmt: skip
