"""The outcome of an investigation as report.json and report.html."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from controller.domain.types import CameraSite, ContactAssessment, Trace
from controller.report.build import build_report, iso
from controller.report.html import render_html
from controller.report.model import CaseFacts, EvidenceFacts, QueryFacts, Report
from controller.services.values import Case, EvidenceRecord, SentQuery


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an investigation found."""

    trace: Trace
    contacts: tuple[ContactAssessment, ...]
    searched: int
    search_complete: bool
    withheld: int
    sites: Mapping[str, CameraSite]
    agents_total: int
    timings: Mapping[str, float]
    rule: str


def write_report(
    case: Case,
    outcome: Outcome,
    queries: Sequence[SentQuery],
    pictures: Sequence[tuple[EvidenceRecord, bytes]],
    *,
    generated_us: int,
) -> dict[str, bytes]:
    """Return the report's files by name; pictures lie inside the HTML."""
    report = _report(case, outcome, queries, pictures, generated_us)
    content = {evidence_file(record): picture for record, picture in pictures}
    return {
        "report.json": report.model_dump_json(indent=2).encode(),
        "report.html": render_html(report, content).encode(),
    }


def evidence_file(record: EvidenceRecord) -> str:
    """Return a picture's name in the report, and its path below the case's in the API."""
    return f"evidence/{record.evidence_id}.jpg"


def _report(
    case: Case, outcome: Outcome, queries: Sequence[SentQuery],
    pictures: Sequence[tuple[EvidenceRecord, bytes]], generated_us: int,
) -> Report:  # fmt: skip
    return build_report(
        generated_us=generated_us,
        case=_case_facts(case, outcome),
        trace=outcome.trace,
        contacts=outcome.contacts,
        queries=[_query_facts(query) for query in queries],
        evidence=[_evidence_facts(record) for record, _ in pictures],
        evidence_withheld=outcome.withheld,
        sites=outcome.sites,
        agents_total=outcome.agents_total,
        timings=outcome.timings,
    )


def _case_facts(case: Case, outcome: Outcome) -> CaseFacts:
    return CaseFacts(
        case_id=str(case.case_id),
        label=case.label,
        legal_basis=case.legal_basis.value,
        onset_date=None if case.onset_date is None else case.onset_date.isoformat(),
        specimen_date=None if case.specimen_date is None else case.specimen_date.isoformat(),
        scope_start=iso(case.scope.start_us),
        scope_end=iso(case.scope.end_us),
        expires=iso(case.expires_us),
        opened_by=case.opened_by,
        approved_by=case.approved_by or "",
        rule=outcome.rule,
        sightings_searched=outcome.searched,
        search_complete=outcome.search_complete,
    )


def _query_facts(query: SentQuery) -> QueryFacts:
    return QueryFacts(
        agent_id=query.agent_id,
        camera_id=query.camera_id,
        kind=query.kind,
        reason=query.reason,
        state=query.state.value,
        detail=query.detail,
    )


def _evidence_facts(record: EvidenceRecord) -> EvidenceFacts:
    return EvidenceFacts(
        file=evidence_file(record),
        camera_id=record.camera_id,
        captured=iso(record.captured_us or 0),
        similarity=record.similarity or 0.0,
        sha256=record.sha256.hex(),
    )
