"""Cases: opened by one person, approved by another, worked on until they end, then erased."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from controller.services.case_request import (
    MAX_PHOTO_BYTES,
    MAX_PHOTOS,
    CaseRequest,
    check_request,
    parse_request,
)
from controller.services.enrolment import Enroller, Enrolment
from controller.services.refusals import Conflict, Gone, Invalid, NotAllowed, NotFound, TooLarge
from controller.services.stores import AuditStore, CaseStore, EvidenceFiles, FleetStore, Sealer
from controller.services.values import (
    Case,
    CaseState,
    Principal,
    SealedPhoto,
    Tombstone,
)
from wire.ids import uuid7

_LOG: Final = logging.getLogger(__name__)
_ACTIVE: Final = frozenset(
    {CaseState.APPROVED, CaseState.RUNNING, CaseState.READY, CaseState.FAILED}
)


@dataclass(frozen=True, slots=True)
class CaseParts:
    """What the case service is built from."""

    cases: CaseStore
    fleet: FleetStore
    audit: AuditStore
    sealer: Sealer
    enroller: Enroller
    evidence_files: EvidenceFiles
    now_us: Callable[[], int]
    retention_days: int


class CaseService:
    """Opens, approves, guards, progresses and erases cases."""

    def __init__(self, parts: CaseParts) -> None:
        self._parts = parts
        self._lock = threading.Lock()

    def open(self, raw_request: Any, photos: Sequence[bytes], by: Principal) -> Case:
        """Open a case from its fields and 1 to 8 reference photos.

        Everything is checked and every photo enrolled before the first byte is written.
        """
        request = parse_request(raw_request)
        now_us = self._parts.now_us()
        check_request(
            request,
            self._parts.fleet.agents(),
            now_us=now_us,
            retention_days=self._parts.retention_days,
        )
        _check_photos(photos)
        probes = [self._parts.enroller.enrol(photo) for photo in photos]
        if len({probe.space_id for probe in probes}) != 1:
            raise Invalid("photo", "the photos' probes are of different spaces; open again")
        case, sealed = self._seal(request, photos, probes, by)
        self._parts.cases.add_case(case, sealed)
        self._note(by.name, "case.opened", case.case_id, f"basis={case.legal_basis.value}")
        return case

    def approve(self, case_id: UUID, by: Principal) -> Case:
        """Approve a case that another person opened."""
        case = self.get(case_id)
        if case.opened_by == by.name:
            raise NotAllowed("approved_by", "who opened a case cannot approve it; ask a colleague")
        if self._parts.now_us() >= case.expires_us:
            raise NotAllowed("expires_at", "this case has expired; open a new one")
        if not self._parts.cases.approve(case_id, by.name, self._parts.now_us()):
            raise Conflict("state", f"this case is {case.state.value}, not opened")
        self._note(by.name, "case.approved", case_id, "")
        return self.get(case_id)

    def get(self, case_id: UUID) -> Case:
        """Return a live case; `Gone` for an ended one, `NotFound` for an unknown one."""
        case = self._parts.cases.case(case_id)
        if case is not None:
            return case
        tombstone = self._parts.cases.tombstone(case_id)
        if tombstone is None:
            raise NotFound("case_id", "there is no such case; see `sightline case status`")
        raise Gone(
            "state", f"this case is {tombstone.state.value} and its data is gone; open a new one"
        )

    def tombstone(self, case_id: UUID) -> Tombstone | None:
        """Return what is left of an ended case."""
        return self._parts.cases.tombstone(case_id)

    def live(self) -> Sequence[Case]:
        """Return all live cases, newest first."""
        return self._parts.cases.cases()

    def require_active(self, case_id: UUID) -> Case:
        """Return an approved, open, unexpired case; raises `Refusal` otherwise."""
        case = self.get(case_id)
        if self._parts.now_us() >= case.expires_us:
            raise NotAllowed("expires_at", "this case has expired; open a new one")
        if case.state not in _ACTIVE or case.approved_by is None:
            raise NotAllowed("state", "this case is not approved; a second person must approve it")
        return case

    def begin(self, case_id: UUID, by: Principal) -> Case:
        """Claim an active case for one investigation; `Conflict` while one runs."""
        with self._lock:
            case = self.require_active(case_id)
            if case.state is CaseState.RUNNING:
                raise Conflict("state", "an investigation of this case is running; wait for it")
            self._parts.cases.set_progress(case_id, CaseState.RUNNING, "queued")
        self._note(by.name, "case.investigated", case_id, "")
        return case

    def progress(self, case_id: UUID, step: str) -> None:
        """Note the step that a running investigation is at."""
        self._parts.cases.set_progress(case_id, CaseState.RUNNING, step)

    def finish(self, case_id: UUID, *, fault: str = "") -> None:
        """End an investigation, well or with a one-line fault."""
        state = CaseState.FAILED if fault else CaseState.READY
        self._parts.cases.set_progress(case_id, state, "failed" if fault else "done", fault)

    def reset_interrupted(self) -> int:
        """At start: investigations that a stop interrupted can be started again; how many."""
        running = [one for one in self.live() if one.state is CaseState.RUNNING]
        for case in running:
            self.finish(case.case_id, fault="interrupted by a restart; investigate again")
        return len(running)

    def case_key(self, case: Case) -> bytes:
        """Return the case's 32-byte key."""
        return self._parts.sealer.unwrap(case.wrapped_key, label=case_key_label(case.case_id))

    def reply_key(self, case: Case) -> X25519PrivateKey:
        """Return the private key that opens this case's replies."""
        raw = self._parts.sealer.open(
            self.case_key(case), case.reply_private_sealed, label=_label("reply_key", case.case_id)
        )
        return X25519PrivateKey.from_private_bytes(raw)

    def probes(self, case: Case) -> Sequence[Enrolment]:
        """Return the case's probes, decrypted."""
        key = self.case_key(case)
        label = _label("probe", case.case_id)
        return [
            Enrolment.from_bytes(self._parts.sealer.open(key, one.probe, label=label))
            for one in self._parts.cases.photos(case.case_id)
        ]

    def put_result(self, case: Case, kind: str, content: bytes) -> None:
        """Keep a result of the investigation, encrypted under the case key."""
        label = _label(f"result-{kind}", case.case_id)
        sealed = self._parts.sealer.seal(self.case_key(case), content, label=label)
        self._parts.cases.put_result(case.case_id, kind, sealed)

    def result(self, case_id: UUID, kind: str) -> bytes:
        """Return a result of an active case; raises `Refusal` if there is none (yet)."""
        case = self.require_active(case_id)
        sealed = self._parts.cases.result(case_id, kind)
        if sealed is None:
            raise NotFound(kind, "there is none yet; investigate the case first")
        label = _label(f"result-{kind}", case_id)
        return self._parts.sealer.open(self.case_key(case), sealed, label=label)

    def kept(self, case: Case, kind: str) -> bytes | None:
        """Return something kept of a live case, None if there is nothing yet."""
        sealed = self._parts.cases.result(case.case_id, kind)
        if sealed is None:
            return None
        label = _label(f"result-{kind}", case.case_id)
        return self._parts.sealer.open(self.case_key(case), sealed, label=label)

    def record(self, actor: str, action: str, case_id: UUID, detail: str) -> None:
        """Write into the audit what somebody did to a case."""
        self._note(actor, action, case_id, detail)

    def note_export(self, case_id: UUID, kind: str, by: Principal) -> None:
        """Write into the audit that somebody read a report."""
        self._note(by.name, "case.report_read", case_id, kind)

    def close(self, case_id: UUID, by: Principal) -> Tombstone:
        """End a case: its rows, pictures and key are destroyed; withdrawn if never approved."""
        case = self.get(case_id)
        state = CaseState.WITHDRAWN if case.approved_by is None else CaseState.CLOSED
        return self._erase(case, state, by.name)

    def expire_due(self) -> int:
        """Erase all cases whose time is over; how many."""
        due = [case for case in self.live() if self._parts.now_us() >= case.expires_us]
        for case in due:
            self._erase(case, CaseState.EXPIRED, "clock")
        return len(due)

    def _erase(self, case: Case, state: CaseState, actor: str) -> Tombstone:
        # Files first: a crash between the two leaves the case there to be erased again.
        pictures = self._parts.evidence_files.drop_case(case.case_id)
        now_us = self._parts.now_us()
        plan = Tombstone(case.case_id, state, now_us, {"evidence_files": pictures})
        counts = self._parts.cases.erase_case(plan)
        # A picture that was being written during the erasure is of no use (its key is gone).
        self._parts.evidence_files.drop_case(case.case_id)
        detail = " ".join(f"{name}={count}" for name, count in sorted(counts.items()))
        self._note(actor, f"case.{state.value}", case.case_id, detail)
        return Tombstone(case.case_id, state, now_us, counts)

    def _seal(
        self,
        request: CaseRequest,
        photos: Sequence[bytes],
        probes: Sequence[Enrolment],
        by: Principal,
    ) -> tuple[Case, list[SealedPhoto]]:
        sealer, now_us = self._parts.sealer, self._parts.now_us()
        case_id = uuid7(unix_ms=now_us // 1_000)
        key, reply = sealer.new_key(), X25519PrivateKey.generate()
        case = Case(
            case_id=case_id,
            label=request.label,
            legal_basis=request.legal_basis,
            onset_date=request.onset_date,
            specimen_date=request.specimen_date,
            scope=request.scope,
            expires_us=int(request.expires_at.timestamp() * 1_000_000),
            opened_by=by.name,
            opened_us=now_us,
            wrapped_key=sealer.wrap(key, label=case_key_label(case_id)),
            reply_public=reply.public_key().public_bytes_raw(),
            reply_private_sealed=sealer.seal(
                key, reply.private_bytes_raw(), label=_label("reply_key", case_id)
            ),
        )
        sealed = [
            SealedPhoto(
                photo_id=uuid7(unix_ms=now_us // 1_000),
                case_id=case_id,
                photo=sealer.seal(key, photo, label=_label("photo", case_id)),
                probe=sealer.seal(key, probe.to_bytes(), label=_label("probe", case_id)),
            )
            for photo, probe in zip(photos, probes, strict=True)
        ]
        return case, sealed

    def _note(self, actor: str, action: str, case_id: UUID, detail: str) -> None:
        self._parts.audit.append(
            at_us=self._parts.now_us(), actor=actor, action=action, subject=str(case_id),
            detail=detail,
        )  # fmt: skip
        _LOG.info("event=%s case=%s actor=%s", action, case_id, actor)


def _check_photos(photos: Sequence[bytes]) -> None:
    if not 1 <= len(photos) <= MAX_PHOTOS:
        raise Invalid("photo", f"give 1 to {MAX_PHOTOS} photos")
    for photo in photos:
        if not photo:
            raise Invalid("photo", "is empty; give a picture file")
        if len(photo) > MAX_PHOTO_BYTES:
            raise TooLarge("photo", f"is larger than {MAX_PHOTO_BYTES >> 20} MiB; make it smaller")


def _label(kind: str, case_id: UUID) -> str:
    return f"{kind}|{case_id.hex}"


def case_key_label(case_id: UUID) -> str:
    """Return what a case's wrapped key is bound to."""
    return _label("case_key", case_id)
