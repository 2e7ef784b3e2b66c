"""The gallery's care: figures, verification, rebuilding, purging."""

from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from controller.api.deps import Parts, allowed
from controller.services.gallery_care import MAX_REASON_CHARS
from controller.services.values import Principal
from wire.times import epoch_of_us, to_us

router = APIRouter(prefix="/v1/gallery")
_Reader = Annotated[Principal, Depends(allowed("gallery.read"))]
_Keeper = Annotated[Principal, Depends(allowed("gallery.handle"))]


class Purge(BaseModel):
    """Which days go, and why if retention still protects them."""

    model_config = ConfigDict(extra="forbid")

    before: date
    reason: Annotated[str, Field(max_length=MAX_REASON_CHARS)] = ""


@router.get("/stats")
def gallery_stats(parts: Parts, _who: _Reader) -> dict[str, int]:
    """Give rows, days, segments and bytes on the disk."""
    return parts.gallery.stats()


@router.post("/verify")
def verify(parts: Parts, _who: _Keeper) -> dict[str, Any]:
    """Compare the table with the search files; ingest waits meanwhile."""
    return {"differences": parts.gallery.verify()}


@router.post("/rebuild")
def rebuild(parts: Parts, who: _Keeper) -> dict[str, int]:
    """Make the search files anew from the table; ingest waits meanwhile."""
    return {"sightings": parts.gallery.rebuild(who)}


@router.post("/purge")
def purge(body: Purge, parts: Parts, who: _Keeper) -> dict[str, int]:
    """Erase all days before a date, with their keys."""
    midnight = datetime.combine(body.before, datetime.min.time(), tzinfo=UTC)
    return asdict(parts.gallery.purge(epoch_of_us(to_us(midnight)), who, body.reason))
