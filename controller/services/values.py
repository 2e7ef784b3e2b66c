"""The values that services and their stores exchange; all frozen, times in µs since 1970 UTC."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from uuid import UUID


class Role(StrEnum):
    """What a person may do; one role per account."""

    INVESTIGATOR = "investigator"
    APPROVER = "approver"
    TECHNICIAN = "technician"
    AUDITOR = "auditor"
    ADMINISTRATOR = "administrator"


class CaseState(StrEnum):
    """Where a case stands; the last three are final and hold no data."""

    OPENED = "opened"
    APPROVED = "approved"
    RUNNING = "running"
    READY = "ready"
    FAILED = "failed"
    CLOSED = "closed"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


class LegalBasis(StrEnum):
    """On what ground a case may be looked for; one must be named."""

    PUBLIC_HEALTH_ORDER = "public-health-order"
    COURT_ORDER = "court-order"
    CONSENT = "consent"
    EXERCISE = "exercise"


class QueryState(StrEnum):
    """Where one query to one agent stands."""

    SENT = "sent"
    ANSWERED = "answered"
    INCOMPLETE = "incomplete"
    REFUSED = "refused"
    FAILED = "failed"
    UNANSWERED = "unanswered"


@dataclass(frozen=True, slots=True)
class User:
    """An account; `password_hash` is argon2id."""

    name: str
    role: Role
    password_hash: str


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking, after authentication."""

    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class Agent:
    """A registered camera box; keys are 32 raw bytes, the place is in metres on the plan."""

    agent_id: str
    camera_id: str
    signing_public: bytes
    sealing_public: bytes
    x_m: float
    y_m: float
    shard: int
    label: str = ""
    coverage_radius_m: float | None = None


@dataclass(frozen=True, slots=True)
class AgentStatus:
    """A registered agent with what was last heard of it."""

    agent: Agent
    online: bool = False
    last_seen_us: int | None = None
    space_id: str = ""
    variant: str = ""
    health: dict[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Area:
    """A disc on the plan, in metres."""

    x_m: float
    y_m: float
    radius_m: float


@dataclass(frozen=True, slots=True)
class CaseScope:
    """Where and when may be looked; no cameras and no area means the whole fleet."""

    start_us: int
    end_us: int
    camera_ids: tuple[str, ...] = ()
    area: Area | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One infected person under investigation; `wrapped_key` is the case key under the master."""

    case_id: UUID
    label: str
    legal_basis: LegalBasis
    onset_date: date | None
    specimen_date: date | None
    scope: CaseScope
    expires_us: int
    opened_by: str
    opened_us: int
    wrapped_key: bytes
    reply_public: bytes
    reply_private_sealed: bytes
    state: CaseState = CaseState.OPENED
    approved_by: str | None = None
    approved_us: int | None = None
    step: str = ""
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What is left of a case that ended: when, how, and how many things were deleted."""

    case_id: UUID
    state: CaseState
    ended_us: int
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class SealedPhoto:
    """A reference photo and its probe, both under the case key."""

    photo_id: UUID
    case_id: UUID
    photo: bytes
    probe: bytes


@dataclass(frozen=True, slots=True)
class SentQuery:
    """One query as the controller remembers it; `reason` says in a sentence why it was asked."""

    query_id: UUID
    case_id: UUID
    agent_id: str
    camera_id: str
    kind: str
    reason: str
    start_us: int
    end_us: int
    issued_us: int
    expires_us: int
    state: QueryState = QueryState.SENT
    detail: str = ""


@dataclass(frozen=True, slots=True)
class UploadGrant:
    """Permission for one agent to upload pictures for one query; only the token's hash is kept."""

    token_sha256: bytes
    case_id: UUID
    query_id: UUID
    camera_id: str
    expires_us: int
    max_pictures: int


@dataclass(frozen=True, slots=True)
class EvidenceRecord:
    """One uploaded picture (its bytes lie encrypted beside); `accepted` once a reply named it."""

    evidence_id: UUID
    case_id: UUID
    query_id: UUID
    camera_id: str
    sha256: bytes
    size_bytes: int
    received_us: int
    accepted: bool = False
    captured_us: int | None = None
    tracklet_id: UUID | None = None
    similarity: float | None = None


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One line of the audit: who did what to which thing; hashes chain the lines."""

    seq: int
    at_us: int
    actor: str
    action: str
    subject: str
    detail: str
    prev_hash: str
    hash: str
