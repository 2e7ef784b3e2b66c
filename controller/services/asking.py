"""Asking agents: signed, sealed, expiring queries; waiting for their answers; opening them."""

import logging
import secrets
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from controller.errors import ControllerError
from controller.services.cases import CaseService
from controller.services.ports import Publisher, ReplyStore
from controller.services.stores import QueryStore
from controller.services.values import Agent, Case, QueryState, SentQuery
from wire.codec import decode, encode
from wire.errors import WireError
from wire.ids import uuid7
from wire.messages import (
    EvidenceBody,
    LookbackBody,
    Query,
    QueryKind,
    QuerySecrets,
    Reply,
    ReplyStatus,
    Scope,
)
from wire.sealing import open_sealed, seal
from wire.signing import sign
from wire.topics import agent_topic

_LOG: Final = logging.getLogger(__name__)
_RECHECK_S: Final = 1.0


class Interrupted(ControllerError):
    """The controller stops while an investigation waits."""


@dataclass(frozen=True, slots=True)
class Question:
    """What to ask one agent and why, before it has an id."""

    agent: Agent
    kind: QueryKind
    start_us: int
    end_us: int
    reason: str
    secrets: QuerySecrets
    ttl_s: float | None = None
    """How long the query lives if not as long as usual; never longer than the case."""


@dataclass(frozen=True, slots=True)
class Answer:
    """How one query ended, with the bodies of the parts that came."""

    query: SentQuery
    lookbacks: tuple[LookbackBody, ...] = ()
    evidence: tuple[EvidenceBody, ...] = ()


@dataclass(frozen=True, slots=True)
class AskingParts:
    """What the asking service is built from."""

    cases: CaseService
    queries: QueryStore
    replies: ReplyStore
    publisher: Publisher
    signing: Ed25519PrivateKey
    now_us: Callable[[], int]
    query_ttl_s: float


class AskingService:
    """Sends queries for active cases and collects the answers."""

    def __init__(self, parts: AskingParts) -> None:
        self._parts = parts
        self._came = threading.Condition()
        self._stopped = False

    def stop(self) -> None:
        """Wake and end all who wait: the controller is about to stop."""
        with self._came:
            self._stopped = True
            self._came.notify_all()

    def stopped(self) -> bool:
        """Tell whether the controller is about to stop."""
        return self._stopped

    def notify(self, query_id: UUID) -> None:
        """Wake whoever waits for replies; ingest calls this after a reply is durable."""
        _LOG.info("event=reply_received query=%s", query_id)
        with self._came:
            self._came.notify_all()

    def new_id(self) -> UUID:
        """Return the id of a query to come."""
        return uuid7(unix_ms=self._parts.now_us() // 1_000)

    def ask(self, case_id: UUID, query_id: UUID, question: Question) -> SentQuery:
        """Send one query, remembered before it leaves; `Refusal` unless the case is active."""
        case = self._parts.cases.require_active(case_id)
        now_us = self._parts.now_us()
        life_us = int((question.ttl_s or self._parts.query_ttl_s) * 1_000_000)
        sent = SentQuery(
            query_id=query_id,
            case_id=case_id,
            agent_id=question.agent.agent_id,
            camera_id=question.agent.camera_id,
            kind=question.kind.value,
            reason=question.reason[:512],
            start_us=question.start_us,
            end_us=question.end_us,
            issued_us=now_us,
            expires_us=min(now_us + life_us, case.expires_us),
        )
        payload = sign(_message(case, sent, question), self._parts.signing)
        self._parts.queries.add_query(sent)
        self._parts.publisher.publish(agent_topic(sent.agent_id, "queries"), payload)
        _LOG.info(
            "event=query_sent case=%s query=%s agent=%s kind=%s",
            case_id, query_id, sent.agent_id, sent.kind,
        )  # fmt: skip
        return sent

    def wait(
        self, case_id: UUID, query_ids: Collection[UUID], *, timeout_s: float
    ) -> Sequence[Answer]:
        """Wait until all are answered or the time is over; what is missing is shown as missing."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            case = self._parts.cases.require_active(case_id)
            pending = [one for one in query_ids if not _complete(self._parts.replies.replies(one))]
            left_s = deadline_s - time.monotonic()
            if not pending or left_s <= 0:
                break
            with self._came:
                if not self._stopped:
                    self._came.wait(min(left_s, _RECHECK_S))
                if self._stopped:
                    raise Interrupted("interrupted: the controller stopped; investigate again")
        key = self._parts.cases.reply_key(case)
        return [self._conclude(one, key) for one in query_ids]

    def answers(self, case_id: UUID, kind: QueryKind) -> Sequence[Answer]:
        """Return how all queries of a kind ended so far in an active case, late answers too."""
        case = self._parts.cases.require_active(case_id)
        key = self._parts.cases.reply_key(case)
        return [
            self._conclude(one.query_id, key)
            for one in self._parts.queries.queries(case_id)
            if one.kind == kind.value
        ]

    def _conclude(self, query_id: UUID, key: X25519PrivateKey) -> Answer:
        sent = self._parts.queries.query(query_id)
        if sent is None:
            raise LookupError(f"query {query_id} is gone")
        answer = _opened(sent, self._parts.replies.replies(query_id), key)
        self._parts.queries.end_query(query_id, answer.query.state, answer.query.detail)
        return answer


def _message(case: Case, sent: SentQuery, question: Question) -> Query:
    sealed = seal(
        encode(question.secrets), question.agent.sealing_public, associated=sent.query_id.bytes
    )
    return Query(
        query_id=sent.query_id,
        case_id=case.case_id,
        agent_id=sent.agent_id,
        kind=question.kind,
        purpose=case.legal_basis.value,
        issued_us=sent.issued_us,
        expires_us=sent.expires_us,
        nonce=secrets.token_bytes(16),
        scope=Scope(camera_id=sent.camera_id, start_us=sent.start_us, end_us=sent.end_us),
        reply_key=case.reply_public,
        sealed=sealed,
    )


def _complete(replies: Sequence[Reply]) -> bool:
    if not replies:
        return False
    ended = any(one.status is not ReplyStatus.OK for one in replies)
    return ended or {one.part for one in replies} >= set(range(1, replies[0].parts_total + 1))


def _opened(sent: SentQuery, replies: Sequence[Reply], key: X25519PrivateKey) -> Answer:
    if not replies:
        return Answer(_ended(sent, QueryState.UNANSWERED, "no answer in time"))
    bad = next((one for one in replies if one.status is not ReplyStatus.OK), None)
    if bad is not None:
        refused = bad.status is ReplyStatus.REFUSED
        state = QueryState.REFUSED if refused else QueryState.FAILED
        return Answer(_ended(sent, state, bad.reason))
    try:
        bodies = [open_sealed(one.body, key, associated=sent.query_id.bytes) for one in replies]
        if sent.kind == QueryKind.EVIDENCE.value:
            evidence = tuple(decode(EvidenceBody, body) for body in bodies)
            return Answer(_completed(sent, replies), evidence=evidence)
        lookbacks = tuple(decode(LookbackBody, body) for body in bodies)
        return Answer(_completed(sent, replies), lookbacks=lookbacks)
    except WireError as error:
        return Answer(_ended(sent, QueryState.FAILED, str(error)))


def _completed(sent: SentQuery, replies: Sequence[Reply]) -> SentQuery:
    if _complete(replies):
        return _ended(sent, QueryState.ANSWERED, "")
    detail = f"{len(replies)} of {replies[0].parts_total} parts came"
    return _ended(sent, QueryState.INCOMPLETE, detail)


def _ended(sent: SentQuery, state: QueryState, detail: str) -> SentQuery:
    return SentQuery(
        sent.query_id, sent.case_id, sent.agent_id, sent.camera_id, sent.kind, sent.reason,
        sent.start_us, sent.end_us, sent.issued_us, sent.expires_us, state, detail,
    )  # fmt: skip
