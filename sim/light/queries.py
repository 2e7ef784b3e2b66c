"""How a light agent answers the controller: the same checks as a real one, without pictures."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sim.light.identity import LightIdentity
from wire.codec import decode, encode
from wire.errors import DecodeError, LimitExceeded, SealInvalid, SignatureInvalid
from wire.messages import (
    EvidenceBody,
    LookbackBody,
    MaskSpan,
    Probe,
    Query,
    QueryKind,
    QuerySecrets,
    ReplyStatus,
    Sighting,
    TrackletReport,
)
from wire.protection import dequantise, template_from_bytes
from wire.sealing import open_sealed, seal
from wire.signing import peek, verify

_REMEMBERED: Final = 1_024


@dataclass(frozen=True, slots=True)
class Kept:
    """A published sighting as the light agent remembers it."""

    sighting: Sighting
    shard: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of one query, before it is numbered and signed."""

    query_id: UUID
    status: ReplyStatus
    reason: str = ""
    body: bytes = b""


class QueryDesk:
    """Checks queries (signature, agent, kind, time, scope, replay) and answers the good ones.

    Remembers the last 1,024 query ids; the oldest is forgotten first (queries expire long before).
    """

    def __init__(self, identity: LightIdentity, controller_key: Ed25519PublicKey) -> None:
        self._identity = identity
        self._controller_key = controller_key
        self._seen: OrderedDict[UUID, None] = OrderedDict()

    def answer(self, data: bytes, kept: Sequence[Kept], now_us: int) -> Answer | None:
        """Answer one signed query; `None` if it cannot even be read as one."""
        try:
            query = peek(Query, data)
        except (DecodeError, LimitExceeded):
            return None
        reason = self._refusal(query, data, now_us)
        if reason:
            return Answer(query.query_id, ReplyStatus.REFUSED, reason)
        self._remember(query.query_id)
        try:
            return self._fulfil(query, kept)
        except (SealInvalid, DecodeError, LimitExceeded):
            return Answer(query.query_id, ReplyStatus.FAILED, "sealed")

    def _refusal(self, query: Query, data: bytes, now_us: int) -> str:
        try:
            verify(Query, data, self._controller_key)
        except SignatureInvalid:
            return "signature"
        checks = (
            ("agent", query.agent_id == self._identity.agent_id),
            ("unsupported_kind", query.kind is not QueryKind.UNKNOWN),
            ("expired", now_us < query.expires_us),
            ("scope", query.scope.camera_id == self._identity.camera_id),
            ("replay", query.query_id not in self._seen),
        )
        return next((reason for reason, holds in checks if not holds), "")

    def _remember(self, query_id: UUID) -> None:
        self._seen[query_id] = None
        while len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)

    def _fulfil(self, query: Query, kept: Sequence[Kept]) -> Answer:
        if query.kind is QueryKind.CANCEL:
            return Answer(query.query_id, ReplyStatus.OK)
        secret = open_sealed(query.sealed, self._identity.sealing, associated=query.query_id.bytes)
        body = self._body(query, decode(QuerySecrets, secret), kept)
        sealed = seal(encode(body), query.reply_key, associated=query.query_id.bytes)
        return Answer(query.query_id, ReplyStatus.OK, body=sealed)

    def _body(
        self, query: Query, secrets: QuerySecrets, kept: Sequence[Kept]
    ) -> LookbackBody | EvidenceBody:
        camera_id = self._identity.camera_id
        if query.kind is QueryKind.EVIDENCE:
            return EvidenceBody(camera_id=camera_id, items=(), withheld_reason="no pictures kept")
        inside = [
            one
            for one in kept
            if one.sighting.end_us >= query.scope.start_us
            and one.sighting.start_us <= query.scope.end_us
        ]
        reports = (_report(one, secrets) for one in inside)
        subject = tuple(report for report in reports if report is not None)
        return LookbackBody(camera_id=camera_id, frame_interval_s=1.0, tracklets=subject)


def _report(kept: Kept, secrets: QuerySecrets) -> TrackletReport | None:
    # Light cameras are not calibrated and strangers walk alone: no path, nobody co-present.
    sighting = kept.sighting
    similarity, over = _similarity(kept, secrets.probes)
    if not over and sighting.id not in secrets.sighting_ids:
        return None
    span = MaskSpan(offset_ms=0, state=sighting.mask_state, probability=sighting.mask_probability)
    return TrackletReport(
        tracklet_id=sighting.id,
        is_subject=True,
        similarity=similarity,
        start_us=sighting.start_us,
        end_us=sighting.end_us,
        epoch=sighting.epoch,
        shard=kept.shard,
        time_uncertainty_s=sighting.time_uncertainty_s,
        template=sighting.template,
        quality=sighting.quality,
        face_count=sighting.face_count,
        path=(),
        masks=(span,),
    )


def _similarity(kept: Kept, probes: Sequence[Probe]) -> tuple[float | None, bool]:
    usable = [p for p in probes if (p.epoch, p.shard) == (kept.sighting.epoch, kept.shard)]
    if not usable:
        return None, False
    own = dequantise(template_from_bytes(kept.sighting.template)[None])[0]
    theirs = dequantise(np.stack([template_from_bytes(p.template) for p in usable]))
    cosines = np.clip(theirs @ own, -1.0, 1.0)
    over = any(c >= p.min_similarity for c, p in zip(cosines, usable, strict=True))
    return float(cosines.max()), over
