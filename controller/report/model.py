"""The report's schema (`report.json`). Times are ISO 8601 in UTC."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA = 1


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CaseFacts(_Part):
    """What the case is and on what ground it was looked for."""

    case_id: str
    label: str
    legal_basis: str
    onset_date: str | None
    specimen_date: str | None
    scope_start: str
    scope_end: str
    expires: str
    opened_by: str
    approved_by: str
    rule: str
    sightings_searched: int
    search_complete: bool = True


class TraceVisit(_Part):
    """One stay of the subject at one camera."""

    camera_id: str
    start: str
    end: str
    posterior: float
    similarity: float
    decision: Literal["accepted", "review", "rejected"]
    explanation: str


class MaskPair(_Part):
    """Mask states of both sides."""

    subject: str
    contact: str


class EpisodeFacts(_Part):
    """One stretch of closeness in one camera."""

    camera_id: str
    start: str
    end: str
    minutes: float
    distance_m_median: float
    masks: MaskPair


class ContactFacts(_Part):
    """One other person against the contact rule."""

    contact_id: str
    minutes: float
    minutes_interval: tuple[float, float]
    minutes_possible: float
    distance_m_median: float
    masks: MaskPair
    decision: Literal["contact", "no_contact", "undecided"]
    probability: float
    reason: str
    episodes: tuple[EpisodeFacts, ...]


class QueryFacts(_Part):
    """One question to one agent, why it was asked, and how it ended."""

    agent_id: str
    camera_id: str
    kind: str
    reason: str
    state: str
    detail: str = ""


class EvidenceFacts(_Part):
    """One redacted picture."""

    file: str
    camera_id: str
    captured: str
    similarity: float
    sha256: str


class PlanCamera(_Part):
    """A camera on the plan."""

    camera_id: str
    x_m: float
    y_m: float
    role: Literal["trace", "asked", "other"]


class Report(_Part):
    """Everything that an investigation found, and what it asked for."""

    schema_version: Annotated[int, Field(ge=1)] = SCHEMA
    generated: str
    case: CaseFacts
    trace: tuple[TraceVisit, ...]
    review: tuple[TraceVisit, ...]
    contacts: tuple[ContactFacts, ...]
    queries: tuple[QueryFacts, ...]
    agents_total: int
    agents_queried: int
    evidence: tuple[EvidenceFacts, ...]
    evidence_withheld: int
    plan: tuple[PlanCamera, ...]
    timings: dict[str, float]
    limits: tuple[str, ...]
