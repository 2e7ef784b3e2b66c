"""What the case services need kept, as interfaces; adapters/records implements them on SQL."""

from collections.abc import Mapping, Sequence
from typing import Protocol
from uuid import UUID

from controller.services.values import (
    Agent,
    AgentStatus,
    AuditLine,
    Case,
    CaseState,
    EvidenceRecord,
    QueryState,
    SealedPhoto,
    SentQuery,
    Tombstone,
    UploadGrant,
    User,
)


class Sealer(Protocol):
    """Wraps keys under the master key and seals data under keys; see adapters/vault."""

    def new_key(self) -> bytes:
        """Return a fresh random 32-byte key."""

    def wrap(self, key: bytes, *, label: str) -> bytes:
        """Encrypt a key under the master key, bound to `label`."""

    def unwrap(self, wrapped: bytes, *, label: str) -> bytes:
        """Return a wrapped key."""

    def seal(self, key: bytes, plaintext: bytes, *, label: str) -> bytes:
        """Encrypt data under a key, bound to `label`."""

    def open(self, key: bytes, sealed: bytes, *, label: str) -> bytes:
        """Return sealed data."""


class AccountStore(Protocol):
    """Accounts and login tokens (their hashes)."""

    def add_user(self, user: User) -> bool:
        """Add an account; false if the name is taken."""

    def user(self, name: str) -> User | None:
        """Return one account."""

    def add_token(self, token_sha256: bytes, name: str, expires_us: int) -> None:
        """Remember a token's hash."""

    def token_user(self, token_sha256: bytes, now_us: int) -> User | None:
        """Return whose unexpired token this is."""

    def drop_tokens(self, *, expired_before_us: int) -> None:
        """Forget expired tokens."""


class FleetStore(Protocol):
    """The registry of camera boxes."""

    def agents(self) -> Sequence[Agent]:
        """Return all registered agents in order of registration."""

    def agent(self, agent_id: str) -> Agent | None:
        """Return one agent."""

    def add_agents(self, agents: Sequence[Agent], now_us: int) -> None:
        """Add all of them or none."""

    def statuses(self) -> Sequence[AgentStatus]:
        """Return all registered agents with what was last heard of them."""


class EpochKeyStore(Protocol):
    """Epoch keys, wrapped."""

    def epoch_keys(self) -> Mapping[int, bytes]:
        """Return the wrapped key of each epoch that has one."""

    def add_epoch_key(self, epoch: int, wrapped: bytes, now_us: int) -> None:
        """Keep a wrapped key; an epoch that has one keeps its own."""

    def drop_epoch_key(self, epoch: int) -> None:
        """Destroy an epoch's key."""


class CaseStore(Protocol):
    """Cases and everything that hangs on them and goes with them."""

    def add_case(self, case: Case, photos: Sequence[SealedPhoto]) -> None:
        """Add a case with its photos, both or neither."""

    def case(self, case_id: UUID) -> Case | None:
        """Return one live case."""

    def cases(self) -> Sequence[Case]:
        """Return all live cases, newest first."""

    def tombstone(self, case_id: UUID) -> Tombstone | None:
        """Return what is left of an ended case."""

    def approve(self, case_id: UUID, by: str, now_us: int) -> bool:
        """Move an opened case to approved; false if it is in another state."""

    def set_progress(self, case_id: UUID, state: CaseState, step: str, fault: str = "") -> None:
        """Note where the investigation stands."""

    def photos(self, case_id: UUID) -> Sequence[SealedPhoto]:
        """Return a case's sealed photos and probes."""

    def put_result(self, case_id: UUID, kind: str, sealed: bytes) -> None:
        """Keep or replace a sealed result."""

    def result(self, case_id: UUID, kind: str) -> bytes | None:
        """Return a sealed result."""

    def erase_case(self, tombstone: Tombstone) -> dict[str, int]:
        """Delete every row of the case, its key included, leave the tombstone; rows by table."""


class QueryStore(Protocol):
    """Sent queries and upload grants."""

    def add_query(self, query: SentQuery) -> None:
        """Remember a query before it is sent."""

    def query(self, query_id: UUID) -> SentQuery | None:
        """Return one query of a live case."""

    def queries(self, case_id: UUID) -> Sequence[SentQuery]:
        """Return a case's queries in the order they were sent."""

    def end_query(self, query_id: UUID, state: QueryState, detail: str) -> None:
        """Note how a query ended."""

    def add_grant(self, grant: UploadGrant) -> None:
        """Keep an upload permission."""

    def grant(self, token_sha256: bytes) -> UploadGrant | None:
        """Return the permission of a token."""


class EvidenceStore(Protocol):
    """Rows about uploaded pictures."""

    def add_evidence(self, record: EvidenceRecord, *, at_most: int) -> bool:
        """Add a row unless the query already has `at_most`, or the id is taken; false if not."""

    def evidence(self, case_id: UUID) -> Sequence[EvidenceRecord]:
        """Return a case's pictures in order of capture, unaccepted ones last."""

    def accept_evidence(self, record: EvidenceRecord) -> None:
        """Note what the signed reply said of a picture."""

    def drop_evidence(self, evidence_id: UUID) -> None:
        """Delete a row."""


class EvidenceFiles(Protocol):
    """Where the encrypted pictures lie."""

    def write(self, case_id: UUID, evidence_id: UUID, sealed: bytes) -> None:
        """Keep one encrypted picture, durably."""

    def read(self, case_id: UUID, evidence_id: UUID) -> bytes:
        """Return one encrypted picture."""

    def drop(self, case_id: UUID, evidence_id: UUID) -> None:
        """Delete one picture."""

    def drop_case(self, case_id: UUID) -> int:
        """Delete all pictures of a case; how many there were."""


class AuditStore(Protocol):
    """The append-only, hash-chained audit."""

    def append(self, *, at_us: int, actor: str, action: str, subject: str, detail: str) -> None:
        """Add one line after the last."""

    def lines(self, *, after_seq: int = 0, limit: int = 1_000) -> Sequence[AuditLine]:
        """Return lines in order."""
