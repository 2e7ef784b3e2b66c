"""Backups of the running controller: begin, look, stop."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field, field_validator

from controller.api.deps import Parts, allowed
from controller.services.backup import BackupOrder
from controller.services.values import Principal

router = APIRouter(prefix="/v1/backup")
_Keeper = Annotated[Principal, Depends(allowed("backup.handle"))]


class Backup(BaseModel):
    """Where to (on the controller's machine), sealed to whom, and how many are kept."""

    model_config = ConfigDict(extra="forbid")

    directory: Annotated[str, Field(max_length=4_096)]
    recipient: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    salt: Annotated[str, Field(pattern="^([0-9a-f]{32})?$")] = ""
    keep: Annotated[int, Field(ge=1, le=366)] = 7

    @field_validator("directory")
    @classmethod
    def _absolute(cls, value: str) -> str:
        if not Path(value).is_absolute():
            raise ValueError("must be an absolute path on the controller's machine")
        return value


@router.post("", status_code=202)
def start(body: Backup, parts: Parts, who: _Keeper) -> dict[str, Any]:
    """Begin a backup in the background."""
    order = BackupOrder(body.directory, body.recipient, body.salt, body.keep)
    return asdict(parts.backup.start(order, who))


@router.get("")
def state(parts: Parts, _who: _Keeper) -> dict[str, Any]:
    """Tell where the last backup stands."""
    return asdict(parts.backup.state())


@router.post("/cancel")
def cancel(parts: Parts, _who: _Keeper) -> dict[str, Any]:
    """Stop the running backup soon."""
    parts.backup.cancel()
    return asdict(parts.backup.state())
