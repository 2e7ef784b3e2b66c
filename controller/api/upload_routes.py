"""Where agents put redacted pictures: a one-time URL per query, JPEG only."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool

from controller.api.deps import Parts
from controller.services.evidence import MAX_PICTURE_BYTES
from controller.services.refusals import Invalid, TooLarge

router = APIRouter(prefix="/v1/evidence")


@router.put("/{token}/{evidence_id}", status_code=201)
async def upload(token: str, evidence_id: UUID, request: Request, parts: Parts) -> dict[str, Any]:
    """Take one picture in; the permission is checked before the body is read."""
    await run_in_threadpool(parts.evidence.check_upload, token)
    if request.headers.get("content-type", "").partition(";")[0].strip() != "image/jpeg":
        raise Invalid("content-type", "must be image/jpeg")
    picture = await _read(request)
    record = await run_in_threadpool(parts.evidence.receive, token, evidence_id, picture)
    return {"evidence_id": str(record.evidence_id), "sha256": record.sha256.hex()}


async def _read(request: Request) -> bytes:
    received = bytearray()
    async for piece in request.stream():
        received += piece
        if len(received) > MAX_PICTURE_BYTES:
            raise TooLarge("picture", f"is larger than {MAX_PICTURE_BYTES >> 20} MiB; compress it")
    return bytes(received)
