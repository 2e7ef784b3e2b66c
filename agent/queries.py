"""What the controller may ask, and what this box answers.

A query is refused, with a reason, unless it is signed by the controller, for this agent, not
expired, not seen before, of a known kind and within this camera's scope. Every decision is
written to the box's own audit file.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from uuid import UUID

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.clock import Clock
from agent.identity import DeviceIdentity
from agent.logs import facts
from agent.records import StoredTracklet
from agent.store import Store
from wire import codec, limits
from wire import messages as m
from wire.errors import SealInvalid, WireError
from wire.protection import dequantise, template_from_bytes
from wire.sealing import open_sealed, seal
from wire.signing import sign, verify
from wire.topics import reply_topic

log = logging.getLogger("agent.queries")

COPRESENT_US: Final = 60_000_000
CLOCK_SLACK_US: Final = 120_000_000
PART_BYTES: Final = 200_000
MAX_QUERY_LIFE_US: Final = 15 * 24 * 3600 * 1_000_000


@dataclass(frozen=True, slots=True)
class Geometry:
    """What a reply says about the camera's geometry; None where it is not calibrated."""

    camera_height_m: float | None
    head_height_m: float | None
    head_height_sd_m: float | None


class EvidenceMaker(Protocol):
    """Redact and upload the key frames of the subject's tracklets."""

    def make(
        self, subjects: "Sequence[Matched]", secrets: m.QuerySecrets, camera_id: str
    ) -> m.EvidenceBody:
        """Return what was uploaded and what was withheld."""
        ...


@dataclass(frozen=True, slots=True)
class Matched:
    """A stored tracklet with its best similarity to the query's probes (None: not comparable)."""

    tracklet: StoredTracklet
    similarity: float | None
    is_subject: bool


class QueryDesk:
    """Verify queries and spool the answers."""

    def __init__(
        self,
        *,
        identity: DeviceIdentity,
        controller: Ed25519PublicKey,
        store: Store,
        clock: Clock,
        geometry: Geometry,
        space_id: str,
        evidence: EvidenceMaker,
        audit_file: Path,
    ) -> None:
        self._identity, self._controller, self._store = identity, controller, store
        self._clock, self._geometry, self._space_id = clock, geometry, space_id
        self._evidence, self._audit_file = evidence, audit_file
        self._cancelled: set[UUID] = set()
        self.frame_interval_s = 1.0

    def handle(self, payload: bytes) -> None:
        """Decide on one query as it came from the broker, and spool the answer."""
        try:
            query = verify(m.Query, payload, self._controller)
        except WireError as error:
            # Unsigned bytes name nobody to answer: only the audit hears of them.
            self._audit(None, "refused", f"signature: {error}")
            return
        refusal = self._refusal(query)
        if refusal is not None:
            self._refuse(query, refusal)
            return
        try:
            self._answer(query)
        except SealInvalid:
            self._refuse(query, "sealed: the confidential part is not for this box")
        except WireError as error:
            self._fail(query, str(error))

    def _refusal(self, query: m.Query) -> str | None:
        now_us = self._clock.now_us()
        if query.agent_id != self._identity.agent_id:
            return "agent: the query is for another agent"
        if query.issued_us > now_us + CLOCK_SLACK_US:
            return "clock_offset: issued in this box's future; check both clocks"
        if query.expires_us < now_us:
            return "expired: the query's time is over"
        if not 0 <= query.expires_us - query.issued_us <= MAX_QUERY_LIFE_US:
            return "expired: the query would live too long"
        if query.kind is m.QueryKind.UNKNOWN:
            return "unsupported_kind: this agent cannot answer it"
        if query.scope.camera_id != self._identity.camera_id:
            return "scope: another camera"
        if not self._store.remember_query(query.query_id, query.nonce, query.expires_us, now_us):
            return "replay: seen before"
        return None

    def _answer(self, query: m.Query) -> None:
        if query.kind is m.QueryKind.CANCEL:
            if query.cancels is not None:
                self._cancelled = {query.cancels, *list(self._cancelled)[:255]}
            self._audit(query, "cancelled", "")
            return
        if query.query_id in self._cancelled:
            self._refuse(query, "cancelled: by the controller")
            return
        opened = open_sealed(query.sealed, self._identity.sealing, associated=query.query_id.bytes)
        secrets = codec.decode(m.QuerySecrets, opened)
        if secrets.space_id != self._space_id:
            self._refuse(query, "space: the probes are of another model")
            return
        found = self._match(query.scope, secrets)
        subjects = [f for f in found if f.is_subject]
        if query.kind is m.QueryKind.EVIDENCE:
            body = self._evidence.make(subjects, secrets, self._identity.camera_id)
            self._reply(query, [body])
            self._audit(query, "answered", f"pictures={len(body.items)} held={body.withheld}")
            return
        revealed = copresent(found)
        self._reply(query, self._lookback_parts(revealed))
        self._audit(query, "answered", f"subject={len(subjects)} revealed={len(revealed)}")

    def _match(self, scope: m.Scope, secrets: m.QuerySecrets) -> list[Matched]:
        wanted = set(secrets.sighting_ids)
        found = []
        for tracklet in self._store.overlapping(scope.start_us, scope.end_us):
            if tracklet.template is None or tracklet.shard is None:
                continue
            similarity, passes = best_similarity(tracklet, secrets.probes)
            found.append(Matched(tracklet, similarity, tracklet.id in wanted or passes))
        return found

    def _lookback_parts(self, revealed: Sequence[Matched]) -> list[m.WireModel]:
        parts: list[list[m.TrackletReport]] = [[]]
        size = 0
        for report in (report_of(f) for f in revealed):
            encoded = len(codec.encode(report))
            full = len(parts[-1]) >= limits.MAX_TRACKLETS_PER_PART
            if parts[-1] and (size + encoded > PART_BYTES or full):
                parts.append([])
                size = 0
            parts[-1].append(report)
            size += encoded
        return [
            m.LookbackBody(
                camera_id=self._identity.camera_id,
                camera_height_m=self._geometry.camera_height_m,
                head_height_m=self._geometry.head_height_m,
                head_height_sd_m=self._geometry.head_height_sd_m,
                frame_interval_s=self.frame_interval_s,
                tracklets=tuple(part),
            )
            for part in parts
        ]

    def _reply(self, query: m.Query, bodies: Sequence[m.WireModel]) -> None:
        for number, body in enumerate(bodies, start=1):
            sealed = seal(codec.encode(body), query.reply_key, associated=query.query_id.bytes)
            self._spool(query, m.ReplyStatus.OK, "", number, len(bodies), sealed)

    def _refuse(self, query: m.Query, reason: str) -> None:
        self._audit(query, "refused", reason)
        self._spool(query, m.ReplyStatus.REFUSED, reason, 1, 1, b"")

    def _fail(self, query: m.Query, reason: str) -> None:
        self._audit(query, "failed", reason)
        self._spool(query, m.ReplyStatus.FAILED, reason[: limits.MAX_REASON_CHARS], 1, 1, b"")

    def _spool(
        self, query: m.Query, status: m.ReplyStatus, reason: str, part: int, total: int,
        body: bytes,
    ) -> None:  # fmt: skip
        def make(seq: int) -> bytes:
            reply = m.Reply(
                query_id=query.query_id, agent_id=self._identity.agent_id,
                spool_id=self._store.spool_ids["replies"], seq=seq, status=status,
                reason=reason, part=part, parts_total=total, body=body,
            )  # fmt: skip
            return sign(reply, self._identity.signing)

        self._store.spool("replies", reply_topic(self._identity.agent_id, query.query_id.hex), make)

    def _audit(self, query: m.Query | None, decision: str, detail: str) -> None:
        line = {
            "at_us": self._clock.now_us(),
            "query_id": None if query is None else str(query.query_id),
            "case_id": None if query is None else str(query.case_id),
            "kind": None if query is None else query.kind.value,
            "purpose": None if query is None else query.purpose,
            "decision": decision,
            "detail": detail[:300],
        }
        with self._audit_file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        log.info("query", extra=facts(decision=decision, detail=detail))


def best_similarity(
    tracklet: StoredTracklet, probes: Sequence[m.Probe]
) -> tuple[float | None, bool]:
    """Return the best cosine with the probes of its epoch and shard, and whether it passes."""
    own = dequantise(template_from_bytes(tracklet.template or b"")[None])[0]
    best, passes = None, False
    for probe in probes:
        if (probe.epoch, probe.shard) != (tracklet.epoch, tracklet.shard):
            continue
        cosine = float(own @ dequantise(template_from_bytes(probe.template)[None])[0])
        best = cosine if best is None else max(best, cosine)
        passes = passes or cosine >= probe.min_similarity
    return best, passes


def copresent(found: Sequence[Matched]) -> list[Matched]:
    """Return the subject's tracklets and those near them in time; nothing without a subject."""
    spans = [(f.tracklet.start_us, f.tracklet.end_us) for f in found if f.is_subject]
    return [
        f
        for f in found
        if any(
            f.tracklet.start_us <= end + COPRESENT_US and f.tracklet.end_us >= start - COPRESENT_US
            for start, end in spans
        )
    ]


def report_of(found: Matched) -> m.TrackletReport:
    """Turn a stored tracklet into what a lookback reveals of it."""
    t = found.tracklet
    return m.TrackletReport(
        tracklet_id=t.id,
        is_subject=found.is_subject,
        similarity=None if found.similarity is None else float(np.clip(found.similarity, -1, 1)),
        start_us=t.start_us,
        end_us=t.end_us,
        epoch=t.epoch,
        shard=t.shard or 0,
        time_uncertainty_s=t.time_uncertainty_s,
        template=t.template or b"",
        quality=t.quality,
        face_count=t.face_count,
        path=tuple(
            m.PathPoint(
                offset_ms=p.offset_ms,
                x_mm=round(p.x_m * 1000),
                y_mm=round(p.y_m * 1000),
                noise_sd_mm=round(p.noise_sd_m * 1000),
            )
            for p in t.path[: limits.MAX_PATH_POINTS]
        ),
        masks=tuple(
            m.MaskSpan(offset_ms=s.offset_ms, state=m.MaskState(s.state), probability=s.probability)
            for s in t.masks[: limits.MAX_MASK_SPANS]
        ),
    )
