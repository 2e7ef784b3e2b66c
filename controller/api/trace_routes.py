"""A case's trace: what the person said, what a reviewer decides, and who would be asked."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Body, Depends

from controller.api.deps import Parts, allowed
from controller.api.fleet_routes import iso
from controller.domain.route import RoutePlan
from controller.domain.trace_nodes import Anchor
from controller.domain.types import Visit
from controller.services.case_trace import Retraced
from controller.services.interview import Verdict
from controller.services.values import Principal

router = APIRouter(prefix="/v1/cases")


@router.post("/{case_id}/anchors", status_code=201)
def add_anchor(
    case_id: UUID,
    body: Annotated[dict[str, Any], Body()],
    parts: Parts,
    who: Annotated[Principal, Depends(allowed("case.open"))],
) -> dict[str, Any]:
    """Add a place and a time that the person told."""
    return anchor_json(parts.interview.add_anchor(case_id, body, who))


@router.get("/{case_id}/anchors")
def list_anchors(
    case_id: UUID, parts: Parts, _who: Annotated[Principal, Depends(allowed("case.read"))]
) -> dict[str, Any]:
    """List what the person told."""
    found = parts.interview.anchors(parts.cases.get(case_id))
    return {"anchors": [anchor_json(one) for one in found]}


@router.post("/{case_id}/sightings/{sighting_id}/{verdict}")
def judge_sighting(
    case_id: UUID,
    sighting_id: UUID,
    verdict: Verdict,
    parts: Parts,
    who: Annotated[Principal, Depends(allowed("case.investigate"))],
) -> dict[str, Any]:
    """Confirm or reject a sighting, or undo that; trace, contacts and report are made anew."""
    parts.tracing.judge(case_id, sighting_id, verdict, who)
    return trace_json(parts.refresh(case_id))


@router.post("/{case_id}/refresh")
def refresh(
    case_id: UUID, parts: Parts, _who: Annotated[Principal, Depends(allowed("case.investigate"))]
) -> dict[str, Any]:
    """Make trace, contacts and report anew, with late answers; searches nothing, asks nobody."""
    return trace_json(parts.refresh(case_id))


@router.delete("/{case_id}/anchors/{anchor_id}", status_code=204)
def remove_anchor(
    case_id: UUID,
    anchor_id: str,
    parts: Parts,
    who: Annotated[Principal, Depends(allowed("case.open"))],
) -> None:
    """Remove what the person took back."""
    parts.interview.remove_anchor(case_id, anchor_id, who)


@router.get("/{case_id}/trace")
def read_trace(
    case_id: UUID, parts: Parts, _who: Annotated[Principal, Depends(allowed("case.report"))]
) -> dict[str, Any]:
    """Trace what was found, with all that people have said since; nobody is asked."""
    return trace_json(parts.tracing.again(case_id))


@router.get("/{case_id}/plan")
def read_plan(
    case_id: UUID, parts: Parts, _who: Annotated[Principal, Depends(allowed("case.investigate"))]
) -> dict[str, Any]:
    """Show who would be asked, when and why; nobody is asked."""
    return plan_json(parts.tracing.plan(case_id))


@router.post("/{case_id}/plan")
def search_and_plan(
    case_id: UUID, parts: Parts, who: Annotated[Principal, Depends(allowed("case.investigate"))]
) -> dict[str, Any]:
    """Search and trace, then show who would be asked; nobody is asked."""
    parts.prepare(case_id, who)
    return plan_json(parts.tracing.plan(case_id))


def trace_json(again: Retraced) -> dict[str, Any]:
    """Return a trace: accepted visits, those for review, and how many were rejected."""
    return {
        "seconds": round(again.seconds, 3),
        "trace": [visit_json(one) for one in again.trace.visits],
        "review": [visit_json(one) for one in again.trace.review],
        "rejected": again.trace.rejected,
    }


def anchor_json(anchor: Anchor) -> dict[str, Any]:
    """Return an anchor as people read it."""
    return {
        "anchor_id": anchor.anchor_id,
        "x_m": anchor.x_m,
        "y_m": anchor.y_m,
        "radius_m": anchor.radius_m,
        "start": iso(anchor.start_us),
        "end": iso(anchor.end_us),
        "time_uncertainty_s": anchor.time_uncertainty_s,
        "confidence": anchor.confidence,
    }


def visit_json(visit: Visit) -> dict[str, Any]:
    """Return a visit with the sentence that says why."""
    return {
        "camera_id": visit.camera_id,
        "start": iso(visit.start_us),
        "end": iso(visit.end_us),
        "sighting_ids": [str(one) for one in visit.sighting_ids],
        "posterior": round(visit.posterior, 4),
        "decision": visit.decision,
        "explanation": visit.explanation,
    }


def plan_json(plan: RoutePlan) -> dict[str, Any]:
    """Return a plan: the questions in order, the watches, and what is left out."""
    return {
        "summary": plan.sentence,
        "covered": round(plan.mass, 4),
        "agents_left_out": plan.left_out,
        "questions": [
            {
                "agent_id": ask.query.agent_id,
                "camera_id": ask.query.camera_id,
                "start": iso(ask.query.start_us),
                "end": iso(ask.query.end_us),
                "when": ask.when,
                "holds_accepted_sightings": not ask.beyond,
                "expected_gain": round(ask.query.expected_gain, 4),
                "reason": ask.query.reason,
            }
            for ask in plan.asks
        ],
        "watches": [
            {
                "agent_id": one.agent_id,
                "camera_id": one.camera_id,
                "until": iso(one.until_us),
                "probability": round(one.probability, 4),
                "reason": one.reason,
            }
            for one in plan.watches
        ],
    }
