"""The HTTP API, `/v1`: thin routes over the services; every error is one JSON line."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol
from uuid import UUID

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartParser

from controller.errors import ControllerError
from controller.services.accounts import AccountService
from controller.services.backup import BackupService
from controller.services.case_trace import CaseTracing, Retraced
from controller.services.cases import CaseService
from controller.services.evidence import EvidenceService
from controller.services.explanation import Explanations
from controller.services.fleet import FleetService
from controller.services.gallery_care import GalleryCare
from controller.services.ingest_quarantine import QuarantineService
from controller.services.interview import InterviewService
from controller.services.refusals import Refusal, RowsInvalid, Unauthenticated
from controller.services.stores import AuditStore
from controller.services.values import Principal

_LOG: Final = logging.getLogger(__name__)
MAX_JSON_BYTES: Final = 16 * 1024 * 1024
MAX_CASE_BYTES: Final = 84 * 1024 * 1024
_LOGIN: Final = "/v1/login"
_BODY_LIMITS: Final = {"/v1/cases": MAX_CASE_BYTES, _LOGIN: 4_096}


class Investigator(Protocol):
    """Starts investigations in the background."""

    def start(self, case_id: UUID) -> None:
        """Queue the investigation of a case that was claimed with `CaseService.begin`."""


@dataclass(frozen=True, slots=True)
class ApiParts:
    """What the API is built from; `stats` gives figures by name (numbers only), `metrics` text."""

    accounts: AccountService
    cases: CaseService
    evidence: EvidenceService
    fleet: FleetService
    audit: AuditStore
    investigator: Investigator
    explanations: Explanations
    stats: Callable[[], dict[str, int | float]]
    metrics: Callable[[], bytes]
    quarantine: QuarantineService
    gallery: GalleryCare
    backup: BackupService
    interview: InterviewService
    tracing: CaseTracing
    prepare: Callable[[UUID, Principal], None]
    refresh: Callable[[UUID], Retraced]


def create_app(parts: ApiParts) -> FastAPI:
    """Return the ASGI application."""
    # Imported here, not above: the routers use ApiParts.
    from controller.api import (
        backup_routes,
        case_routes,
        fleet_routes,
        gallery_routes,
        quarantine_routes,
        trace_routes,
        upload_routes,
    )

    app = FastAPI(title="Sightline", docs_url=None, redoc_url=None, openapi_url="/v1/openapi.json")
    app.state.parts = parts
    # A photo must never lie on the disk in the clear, not even in a temporary file.
    MultiPartParser.spool_max_size = MAX_CASE_BYTES
    app.add_exception_handler(Refusal, _on_refusal)
    app.add_exception_handler(ControllerError, _on_fault)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.middleware("http")(_limit_and_harden)
    for module in (
        fleet_routes, gallery_routes, backup_routes, quarantine_routes, case_routes, trace_routes,
        upload_routes,
    ):  # fmt: skip
        app.include_router(module.router)
    app.include_router(fleet_routes.metrics_router)
    return app


def error_body(field: str, message: str) -> dict[str, Any]:
    """Return the JSON of one error."""
    return {"error": {"field": field, "message": " ".join(message.split())}}


async def _limit_and_harden(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    refused = _too_large(request)
    if refused is None and request.method == "POST" and request.url.path != _LOGIN:
        # Before the body: strangers must not make us read, and hold, what they send.
        refused = await run_in_threadpool(_stranger, request)
    response = refused if refused is not None else await call_next(request)
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _too_large(request: Request) -> Response | None:
    if request.method not in ("POST", "PUT"):
        return None
    length = request.headers.get("content-length", "")
    if not length.isdigit():
        return JSONResponse(error_body("content-length", "is missing; send one"), 411)
    limit = _BODY_LIMITS.get(request.url.path, MAX_JSON_BYTES)
    if int(length) > limit:
        message = f"{length} bytes are more than {limit}; send less"
        return JSONResponse(error_body("body", message), 413)
    return None


def _stranger(request: Request) -> Response | None:
    try:
        authenticated(request)
    except Refusal as refusal:
        return JSONResponse(error_body(refusal.field, refusal.message), refusal.status)
    return None


def authenticated(request: Request) -> Principal:
    """Return who sent the request's bearer token; raises `Unauthenticated`."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("token", "is missing; run `sightline login`")
    parts: ApiParts = request.app.state.parts
    return parts.accounts.authenticate(token.strip())


async def _on_refusal(_request: Request, error: Exception) -> Response:
    if not isinstance(error, Refusal):
        raise error
    body = error_body(error.field, error.message)
    if isinstance(error, RowsInvalid):
        body["error"]["rows"] = [
            {"line": one.line, "field": one.field, "message": one.message} for one in error.faults
        ]
    return JSONResponse(body, error.status)


async def _on_fault(_request: Request, error: Exception) -> Response:
    _LOG.error("event=request_failed error=%s", error)
    return JSONResponse(error_body("controller", str(error)), 500)


async def _on_invalid(_request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"] if part not in ("body", "path", "query"))
    return JSONResponse(error_body(field or "body", str(first["msg"])), 422)


async def _on_http(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    return JSONResponse(error_body("request", str(error.detail)), error.status_code)
