"""Evidence pictures: one-time upload permissions, receipt, acceptance by signed reply."""

import hashlib
import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from controller.services.accounts import token_hash
from controller.services.cases import CaseService
from controller.services.refusals import Conflict, Invalid, NotAllowed, NotFound, Refusal, TooLarge
from controller.services.stores import EvidenceFiles, EvidenceStore, QueryStore, Sealer
from controller.services.values import EvidenceRecord, UploadGrant
from wire.messages import EvidenceBody, EvidenceItem

MAX_PICTURE_BYTES: Final = 4 * 1024 * 1024
_JPEG_START: Final = b"\xff\xd8\xff"
_JPEG_END: Final = b"\xff\xd9"
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EvidenceParts:
    """What the evidence service is built from; `base_url` is where agents reach the API."""

    records: EvidenceStore
    files: EvidenceFiles
    queries: QueryStore
    cases: CaseService
    sealer: Sealer
    base_url: str
    now_us: Callable[[], int]


class EvidenceService:
    """Takes pictures in (JPEG, at most 4 MiB, as many as the query allows) and gives them out."""

    def __init__(self, parts: EvidenceParts) -> None:
        self._parts = parts

    def grant(
        self, case_id: UUID, query_id: UUID, camera_id: str, *, expires_us: int, max_pictures: int
    ) -> str:
        """Return the upload URL of one query; its token works until the query expires."""
        self._parts.cases.require_active(case_id)
        token = secrets.token_urlsafe(32)
        self._parts.queries.add_grant(
            UploadGrant(token_hash(token), case_id, query_id, camera_id, expires_us, max_pictures)
        )
        return f"{self._parts.base_url}/v1/evidence/{token}"

    def check_upload(self, token: str) -> UploadGrant:
        """Return a token's live permission; raises `Refusal` before any byte is read."""
        grant = self._parts.queries.grant(token_hash(token))
        if grant is None:
            raise NotFound("token", "is not known; use the upload URL of the query")
        if self._parts.now_us() >= grant.expires_us:
            raise NotAllowed("token", "has expired; the controller must ask again")
        self._parts.cases.require_active(grant.case_id)
        return grant

    def receive(self, token: str, evidence_id: UUID, picture: bytes) -> EvidenceRecord:
        """Keep one uploaded JPEG, encrypted under the case key; raises `Refusal`.

        The same picture may be sent again under its id (an agent that lost our answer).
        """
        grant = self.check_upload(token)
        _check_jpeg(picture)
        record = EvidenceRecord(
            evidence_id=evidence_id,
            case_id=grant.case_id,
            query_id=grant.query_id,
            camera_id=grant.camera_id,
            sha256=hashlib.sha256(picture).digest(),
            size_bytes=len(picture),
            received_us=self._parts.now_us(),
        )
        earlier = self._find(grant.case_id, evidence_id)
        if earlier is not None:
            # Written again: a crash may have come between the row and the file.
            self._write(_same(earlier, record), picture)
            return earlier
        if not self._parts.records.add_evidence(record, at_most=grant.max_pictures):
            raise Conflict("evidence_id", f"the query allows {grant.max_pictures} pictures")
        self._write(record, picture)
        return record

    def accept(self, query_id: UUID, case_id: UUID, body: EvidenceBody) -> Sequence[EvidenceRecord]:
        """Keep the query's pictures that a signed reply names by hash; delete its others."""
        named = {item.evidence_id: item for item in body.items}
        accepted = []
        for record in self._parts.records.evidence(case_id):
            if record.query_id != query_id:
                continue
            item = named.get(record.evidence_id)
            if item is None or item.sha256 != record.sha256 or body.camera_id != record.camera_id:
                self._drop(record)
                continue
            accepted.append(_accepted(record, item))
            self._parts.records.accept_evidence(accepted[-1])
        return accepted

    def pictures(self, case_id: UUID) -> Sequence[tuple[EvidenceRecord, bytes]]:
        """Return the accepted pictures of an active case, decrypted, in order of capture."""
        case = self._parts.cases.require_active(case_id)
        key = self._parts.cases.case_key(case)
        return [
            (one, self._parts.sealer.open(
                key, self._parts.files.read(case_id, one.evidence_id), label=_label(one)
            ))
            for one in self._parts.records.evidence(case_id)
            if one.accepted
        ]  # fmt: skip

    def picture(self, case_id: UUID, evidence_id: UUID) -> bytes:
        """Return one accepted picture of an active case, decrypted."""
        for record, picture in self.pictures(case_id):
            if record.evidence_id == evidence_id:
                return picture
        raise NotFound("evidence_id", "is not an accepted picture of this case; see its report")

    def _find(self, case_id: UUID, evidence_id: UUID) -> EvidenceRecord | None:
        rows = self._parts.records.evidence(case_id)
        return next((one for one in rows if one.evidence_id == evidence_id), None)

    def _write(self, record: EvidenceRecord, picture: bytes) -> None:
        try:
            case = self._parts.cases.require_active(record.case_id)
            sealed = self._parts.sealer.seal(
                self._parts.cases.case_key(case), picture, label=_label(record)
            )
            self._parts.files.write(record.case_id, record.evidence_id, sealed)
            # The case may have been closed while the file was being written.
            self._parts.cases.require_active(record.case_id)
        except (OSError, Refusal):
            self._parts.files.drop(record.case_id, record.evidence_id)
            self._parts.records.drop_evidence(record.evidence_id)
            raise

    def _drop(self, record: EvidenceRecord) -> None:
        _LOG.warning(
            "event=evidence_dropped case=%s evidence=%s", record.case_id, record.evidence_id
        )
        self._parts.files.drop(record.case_id, record.evidence_id)
        self._parts.records.drop_evidence(record.evidence_id)


def _check_jpeg(picture: bytes) -> None:
    if len(picture) > MAX_PICTURE_BYTES:
        raise TooLarge("picture", f"is larger than {MAX_PICTURE_BYTES >> 20} MiB; compress it")
    if not picture.startswith(_JPEG_START) or not picture.endswith(_JPEG_END):
        raise Invalid("picture", "is not a whole JPEG; send one")


def _same(earlier: EvidenceRecord, record: EvidenceRecord) -> EvidenceRecord:
    if (earlier.query_id, earlier.sha256) != (record.query_id, record.sha256):
        raise Conflict("evidence_id", "is taken by another picture; use a new id")
    return earlier


def _accepted(record: EvidenceRecord, item: EvidenceItem) -> EvidenceRecord:
    return replace(
        record,
        accepted=True,
        captured_us=item.captured_us,
        tracklet_id=item.tracklet_id,
        similarity=item.similarity,
    )


def _label(record: EvidenceRecord) -> str:
    return f"evidence|{record.case_id.hex}|{record.evidence_id.hex}"
