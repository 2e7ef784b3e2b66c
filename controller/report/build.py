"""Turn what an investigation found into the report."""

from collections.abc import Iterable, Mapping, Sequence

from controller.domain.types import CameraSite, ContactAssessment, Trace, Visit
from controller.report.model import (
    CaseFacts,
    ContactFacts,
    EpisodeFacts,
    EvidenceFacts,
    MaskPair,
    PlanCamera,
    QueryFacts,
    Report,
    TraceVisit,
)
from wire.times import from_us

LIMITS = (
    "Similarity is evidence, not identity: every accepted place is to be confirmed by a person.",
    "Distances assume heads at 1.55 m +/- 0.12 m; the interval of the minutes carries that.",
    "A camera that was down or saw no face is never evidence that somebody was not there.",
)


def iso(value_us: int) -> str:
    """Write a moment as ISO 8601 in UTC with milliseconds."""
    return from_us(value_us).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def build_report(
    *,
    generated_us: int,
    case: CaseFacts,
    trace: Trace,
    contacts: Sequence[ContactAssessment],
    queries: Sequence[QueryFacts],
    evidence: Sequence[EvidenceFacts],
    evidence_withheld: int,
    sites: Mapping[str, CameraSite],
    agents_total: int,
    timings: Mapping[str, float],
) -> Report:
    """Assemble the report; nothing is decided here."""
    return Report(
        generated=iso(generated_us),
        case=case,
        trace=tuple(_visit(v) for v in trace.visits),
        review=tuple(_visit(v) for v in trace.review),
        contacts=tuple(_contact(c) for c in contacts),
        queries=tuple(queries),
        agents_total=agents_total,
        agents_queried=len({q.agent_id for q in queries}),
        evidence=tuple(evidence),
        evidence_withheld=evidence_withheld,
        plan=_plan(sites, trace.visits, {q.camera_id for q in queries}),
        timings={name: round(value, 3) for name, value in timings.items()},
        limits=LIMITS,
    )


def _visit(visit: Visit) -> TraceVisit:
    return TraceVisit(
        camera_id=visit.camera_id,
        start=iso(visit.start_us),
        end=iso(visit.end_us),
        posterior=round(visit.posterior, 4),
        similarity=round(visit.similarity, 4),
        decision=visit.decision,
        explanation=visit.explanation,
    )


def _contact(contact: ContactAssessment) -> ContactFacts:
    return ContactFacts(
        contact_id=contact.contact_id,
        minutes=round(contact.minutes, 2),
        minutes_interval=(
            round(contact.minutes_interval[0], 2),
            round(contact.minutes_interval[1], 2),
        ),
        minutes_possible=round(contact.minutes_possible, 2),
        distance_m_median=round(contact.distance_m_median, 2),
        masks=MaskPair(subject=contact.mask_subject, contact=contact.mask_contact),
        decision=contact.decision,
        probability=round(contact.probability, 4),
        reason=contact.reason,
        episodes=tuple(
            EpisodeFacts(
                camera_id=e.camera_id,
                start=iso(e.start_us),
                end=iso(e.end_us),
                minutes=round(e.minutes, 2),
                distance_m_median=round(e.distance_m_median, 2),
                masks=MaskPair(subject=e.mask_subject, contact=e.mask_contact),
            )
            for e in contact.episodes
        ),
    )


def _plan(
    sites: Mapping[str, CameraSite], visits: Iterable[Visit], asked: set[str]
) -> tuple[PlanCamera, ...]:
    traced = {v.camera_id for v in visits}
    return tuple(
        PlanCamera(
            camera_id=s.camera_id,
            x_m=s.x_m,
            y_m=s.y_m,
            role="trace" if s.camera_id in traced else "asked" if s.camera_id in asked else "other",
        )
        for s in sorted(sites.values(), key=lambda s: s.camera_id)
    )
