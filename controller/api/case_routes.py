"""Cases: open, approve, investigate, read, close."""

from dataclasses import asdict, dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, File, Form, Response, UploadFile

from controller.api.deps import Parts, allowed
from controller.api.fleet_routes import iso
from controller.services.case_request import MAX_PHOTO_BYTES, MAX_PHOTOS
from controller.services.refusals import Invalid
from controller.services.values import Case, Principal, Tombstone

router = APIRouter(prefix="/v1/cases")
_HTML_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'none'"


@dataclass(frozen=True, slots=True)
class CaseForm:
    """The text fields of a new case; a field that is left out or empty is not given."""

    label: Annotated[str, Form()] = ""
    legal_basis: Annotated[str, Form()] = ""
    onset_date: Annotated[str, Form()] = ""
    specimen_date: Annotated[str, Form()] = ""
    scope_start: Annotated[str, Form()] = ""
    scope_end: Annotated[str, Form()] = ""
    expires_at: Annotated[str, Form()] = ""
    camera_ids: Annotated[list[str] | None, Form()] = None
    area_x_m: Annotated[float | None, Form()] = None
    area_y_m: Annotated[float | None, Form()] = None
    area_radius_m: Annotated[float | None, Form()] = None

    def request(self) -> dict[str, Any]:
        """Return the fields as the case service takes them."""
        given = {k: v for k, v in asdict(self).items() if v not in ("", None)}
        circle = [given.pop(f"area_{name}", None) for name in ("x_m", "y_m", "radius_m")]
        if any(one is not None for one in circle):
            given["area"] = dict(zip(("x_m", "y_m", "radius_m"), circle, strict=True))
        return given


@router.post("", status_code=201)
def open_case(
    form: Annotated[CaseForm, Depends()],
    photos: Annotated[list[UploadFile], File()],
    parts: Parts,
    who: Annotated[Principal, Depends(allowed("case.open"))],
) -> dict[str, Any]:
    """Open a case: a multipart form with 1 to 8 files `photos`."""
    if len(photos) > MAX_PHOTOS:
        raise Invalid("photos", f"give 1 to {MAX_PHOTOS} photos")
    # One byte more than allowed is read, so that the service sees that it is too large.
    contents = [one.file.read(MAX_PHOTO_BYTES + 1) for one in photos]
    return case_json(parts.cases.open(form.request(), contents, who))


@router.get("")
def list_cases(
    parts: Parts, _who: Annotated[Principal, Depends(allowed("case.read"))]
) -> dict[str, Any]:
    """List the live cases, newest first."""
    return {"cases": [case_json(one) for one in parts.cases.live()]}


@router.get("/{case_id}")
def read_case(
    case_id: UUID, parts: Parts, _who: Annotated[Principal, Depends(allowed("case.read"))]
) -> dict[str, Any]:
    """Give a case's facts and progress; of an ended one what is left of it."""
    tombstone = parts.cases.tombstone(case_id)
    if tombstone is not None:
        return tombstone_json(tombstone)
    return case_json(parts.cases.get(case_id))


@router.post("/{case_id}/approve")
def approve_case(
    case_id: UUID, parts: Parts, who: Annotated[Principal, Depends(allowed("case.approve"))]
) -> dict[str, Any]:
    """Approve a case that somebody else opened."""
    return case_json(parts.cases.approve(case_id, who))


@router.post("/{case_id}/investigate", status_code=202)
def investigate_case(
    case_id: UUID, parts: Parts, who: Annotated[Principal, Depends(allowed("case.investigate"))]
) -> dict[str, Any]:
    """Start the investigation in the background; follow it with GET."""
    parts.cases.begin(case_id, who)
    parts.investigator.start(case_id)
    return case_json(parts.cases.get(case_id))


@router.get("/{case_id}/explanation/{sighting_id}")
def explanation(
    case_id: UUID,
    sighting_id: UUID,
    parts: Parts,
    who: Annotated[Principal, Depends(allowed("case.report"))],
) -> dict[str, Any]:
    """Say why a sighting of the case's scope is, or is not, a candidate."""
    return {"photos": parts.explanations.explain(case_id, sighting_id, who)}


@router.get("/{case_id}/report.json")
def report_json(
    case_id: UUID, parts: Parts, who: Annotated[Principal, Depends(allowed("case.report"))]
) -> Response:
    """Give the report as JSON."""
    content = parts.cases.result(case_id, "report.json")
    parts.cases.note_export(case_id, "report.json", who)
    return Response(content, media_type="application/json")


@router.get("/{case_id}/report.html")
def report_html(
    case_id: UUID, parts: Parts, who: Annotated[Principal, Depends(allowed("case.report"))]
) -> Response:
    """Give the report as one self-contained HTML file."""
    content = parts.cases.result(case_id, "report.html")
    parts.cases.note_export(case_id, "report.html", who)
    headers = {"Content-Security-Policy": _HTML_POLICY}
    return Response(content, media_type="text/html; charset=utf-8", headers=headers)


@router.get("/{case_id}/evidence/{evidence_id}.jpg")
def evidence_picture(
    case_id: UUID,
    evidence_id: UUID,
    parts: Parts,
    _who: Annotated[Principal, Depends(allowed("case.report"))],
) -> Response:
    """Give one accepted, redacted picture."""
    content = parts.evidence.picture(case_id, evidence_id)
    return Response(content, media_type="image/jpeg")


@router.post("/{case_id}/close")
def close_case(
    case_id: UUID, parts: Parts, who: Annotated[Principal, Depends(allowed("case.close"))]
) -> dict[str, Any]:
    """End a case and destroy its data and key."""
    return tombstone_json(parts.cases.close(case_id, who))


def case_json(case: Case) -> dict[str, Any]:
    """Return what people may see of a live case: no photo, no probe, no key."""
    scope = case.scope
    area = scope.area
    return {
        "case_id": str(case.case_id),
        "label": case.label,
        "state": case.state.value,
        "progress": case.step,
        "error": case.fault or None,
        "legal_basis": case.legal_basis.value,
        "onset_date": None if case.onset_date is None else case.onset_date.isoformat(),
        "specimen_date": None if case.specimen_date is None else case.specimen_date.isoformat(),
        "scope": {
            "start": iso(scope.start_us),
            "end": iso(scope.end_us),
            "camera_ids": list(scope.camera_ids),
            "area": None
            if area is None
            else {"x_m": area.x_m, "y_m": area.y_m, "radius_m": area.radius_m},
        },
        "opened_by": case.opened_by,
        "opened_at": iso(case.opened_us),
        "approved_by": case.approved_by,
        "approved_at": iso(case.approved_us),
        "expires_at": iso(case.expires_us),
    }


def tombstone_json(tombstone: Tombstone) -> dict[str, Any]:
    """Return what is left of an ended case."""
    return {
        "case_id": str(tombstone.case_id),
        "state": tombstone.state.value,
        "ended_at": iso(tombstone.ended_us),
        "deleted": tombstone.counts,
    }
