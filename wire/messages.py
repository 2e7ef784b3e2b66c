"""The messages of the contract, one pydantic model each.

Rules of evolution: a new field has a default; a removed name stays reserved and is never
used again; receivers ignore fields they do not know; an unknown enum value becomes
`unknown` instead of an error. Times are whole microseconds since 1970 UTC (`*_us`),
lengths on the ground are whole millimetres (`*_mm`).
"""

from enum import StrEnum
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

from wire import limits

SCHEMA: Final = 1


class _OpenEnum(StrEnum):
    """An enum whose unknown values become `UNKNOWN`, so that a newer peer never crashes us."""

    @classmethod
    def _missing_(cls, value: object) -> "_OpenEnum | None":
        return cls["UNKNOWN"] if isinstance(value, str) else None


class MaskState(_OpenEnum):
    """Whether a face wears a mask, as decided over a whole tracklet."""

    MASKED = "masked"
    UNMASKED = "unmasked"
    UNSURE = "unsure"
    UNKNOWN = "unknown"


class QueryKind(_OpenEnum):
    """What the controller asks of one agent."""

    LOOKBACK = "lookback"
    EVIDENCE = "evidence"
    CANCEL = "cancel"
    UNKNOWN = "unknown"


class ReplyStatus(_OpenEnum):
    """How an agent ended a query, or a part of it."""

    OK = "ok"
    REFUSED = "refused"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Stream(_OpenEnum):
    """Which of an agent's two spooled streams a sequence number belongs to."""

    SIGHTINGS = "sightings"
    REPLIES = "replies"
    UNKNOWN = "unknown"


def _to_uuid(value: Any) -> Any:
    return UUID(bytes=value) if isinstance(value, bytes) and len(value) == 16 else value


def _to_enum(kind: type[_OpenEnum]) -> BeforeValidator:
    return BeforeValidator(lambda v: kind(v) if isinstance(v, str) else v)


def _to_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _to_float(value: Any) -> Any:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


_AS_TUPLE: Final = BeforeValidator(_to_tuple)
Id16 = Annotated[UUID, BeforeValidator(_to_uuid), PlainSerializer(lambda u: u.bytes)]
AgentId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}\z")]
Name = Annotated[str, Field(min_length=1, max_length=limits.MAX_ID_CHARS)]
Text = Annotated[str, Field(max_length=limits.MAX_TEXT_CHARS)]
Us = Annotated[int, Field(ge=0, lt=1 << 53)]
Count = Annotated[int, Field(ge=0, lt=1 << 53)]
Epoch = Annotated[int, Field(ge=0, lt=1_000_000)]
Shard = Annotated[int, Field(ge=0, lt=65_536)]
Real = Annotated[float, BeforeValidator(_to_float), Field(allow_inf_nan=False)]
Probability = Annotated[float, BeforeValidator(_to_float), Field(ge=0.0, le=1.0)]
Similarity = Annotated[float, BeforeValidator(_to_float), Field(ge=-1.001, le=1.001)]
UncertaintyS = Annotated[float, BeforeValidator(_to_float), Field(ge=0.0, le=86_400.0)]
Template = Annotated[
    bytes, Field(min_length=limits.TEMPLATE_BYTES, max_length=limits.TEMPLATE_BYTES)
]
Sealed = Annotated[bytes, Field(max_length=limits.MAX_SEALED_BYTES)]
PublicKey = Annotated[bytes, Field(min_length=32, max_length=32)]
_AS_TEXT: Final = PlainSerializer(lambda v: v.value)
Mask = Annotated[MaskState, _to_enum(MaskState), _AS_TEXT]
StreamName = Annotated[Stream, _to_enum(Stream), _AS_TEXT]
Kind = Annotated[QueryKind, _to_enum(QueryKind), _AS_TEXT]
Status = Annotated[ReplyStatus, _to_enum(ReplyStatus), _AS_TEXT]


class WireModel(BaseModel):
    """Base of everything on the wire: strict, frozen, blind to fields it does not know."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class Message(WireModel):
    """Base of whole messages; carries the schema version it was written with."""

    schema_: Annotated[int, Field(ge=1, le=1_000, alias="schema", serialization_alias="schema")] = (
        SCHEMA
    )

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", populate_by_name=True)


class _Interval(WireModel):
    start_us: Us
    end_us: Us

    @model_validator(mode="after")
    def _ordered(self) -> "_Interval":
        if self.end_us < self.start_us:
            raise ValueError("end_us is before start_us")
        return self


class Sighting(_Interval):
    """The published summary of one tracklet: no path, no position, no picture."""

    id: Id16
    epoch: Epoch
    time_uncertainty_s: UncertaintyS
    template: Template
    mask_state: Mask
    mask_probability: Probability
    quality: Probability
    face_count: Annotated[int, Field(ge=1, lt=1 << 31)]


class SightingBatch(Message):
    """1 to 64 sightings of one camera, numbered in the agent's spool."""

    agent_id: AgentId
    spool_id: Id16
    seq: Annotated[int, Field(ge=1, lt=1 << 53)]
    sent_us: Us
    camera_id: Name
    shard: Shard
    space_id: Name
    variant: Name
    sightings: Annotated[
        tuple[Sighting, ...],
        _AS_TUPLE,
        Field(min_length=1, max_length=limits.MAX_SIGHTINGS_PER_BATCH),
    ]


class Ack(Message):
    """The controller's cumulative word: everything up to `acked_seq` is durable."""

    agent_id: AgentId
    stream: StreamName
    spool_id: Id16
    acked_seq: Count
    issued_us: Us


class AgentState(Message):
    """Retained birth (`online`) or death; a death of another `bd_seq` is ignored."""

    agent_id: AgentId
    online: bool
    bd_seq: Count
    since_us: Us
    camera_id: Name
    calibration_id: Name | None = None
    model_pack_id: Name
    space_id: Name
    variant: Name
    version: Name
    device: Text = ""


class Health(Message):
    """Periodic figures of one agent; counters only grow while `started_us` is the same.

    `frames_dropped_total`: came while the networks were busy; `frames_still_total`: nothing moved.
    """

    agent_id: AgentId
    at_us: Us
    started_us: Us
    frames_total: Count = 0
    frames_dropped_total: Count = 0
    frames_still_total: Count = 0
    faces_total: Count = 0
    sightings_total: Count = 0
    last_frame_us: Us | None = None
    spool_batches: Count = 0
    spool_bytes: Count = 0
    store_bytes: Count = 0
    clock_offset_s: Real | None = None
    source_ended: bool = False
    accelerator: Name = "none"
    accelerator_working: bool = True
    accelerator_faults_total: Count = 0


class Scope(_Interval):
    """What a query may touch: one camera and one interval of time."""

    camera_id: Name


class Query(Message):
    """A signed, case-bound, expiring request to one agent.

    `sealed`: a `QuerySecrets` sealed to the device's key; its associated data is `query_id`.
    `reply_key`: the case's X25519 public key that reply bodies are sealed to, so that recorded
    traffic dies with the case's key.
    """

    query_id: Id16
    case_id: Id16
    agent_id: AgentId
    kind: Kind
    purpose: Text
    issued_us: Us
    expires_us: Us
    nonce: Annotated[bytes, Field(min_length=16, max_length=16)]
    scope: Scope
    reply_key: PublicKey
    sealed: Sealed = b""
    cancels: Id16 | None = None


class Probe(WireModel):
    """A reference template, rotated for one epoch and shard, with its operating threshold."""

    epoch: Epoch
    shard: Shard
    template: Template
    min_similarity: Similarity


class QuerySecrets(WireModel):
    """The confidential part of a query: whom to look for and where pictures may go."""

    space_id: Name
    probes: Annotated[
        tuple[Probe, ...],
        _AS_TUPLE,
        Field(max_length=limits.MAX_PROBES_PER_QUERY),
    ] = ()
    sighting_ids: Annotated[
        tuple[Id16, ...],
        _AS_TUPLE,
        Field(max_length=limits.MAX_TRACKLET_IDS_PER_QUERY),
    ] = ()
    upload_url: Annotated[str, Field(max_length=512)] = ""
    max_pictures: Annotated[int, Field(ge=0, le=limits.MAX_EVIDENCE_ITEMS)] = 0


class Reply(Message):
    """One part of an agent's answer; spooled and acknowledged like a batch.

    `body`: a `LookbackBody` or `EvidenceBody`, sealed to the query's `reply_key`; its associated
    data is `query_id`. Empty when refused or failed.
    """

    query_id: Id16
    agent_id: AgentId
    spool_id: Id16
    seq: Annotated[int, Field(ge=1, lt=1 << 53)]
    status: Status
    reason: Annotated[str, Field(max_length=limits.MAX_REASON_CHARS)] = ""
    part: Annotated[int, Field(ge=1, le=limits.MAX_REPLY_PARTS)] = 1
    parts_total: Annotated[int, Field(ge=1, le=limits.MAX_REPLY_PARTS)] = 1
    body: Sealed = b""


class MaskSpan(WireModel):
    """One stretch of a tracklet with one mask state, from `offset_ms` on."""

    offset_ms: Count
    state: Mask
    probability: Probability


class PathPoint(WireModel):
    """A head's position on the camera's own ground plane, as if at the body's head height."""

    offset_ms: Count
    x_mm: Annotated[int, Field(gt=-(1 << 31), lt=1 << 31)]
    y_mm: Annotated[int, Field(gt=-(1 << 31), lt=1 << 31)]
    noise_sd_mm: Annotated[int, Field(ge=0, lt=1 << 31)]


class TrackletReport(_Interval):
    """One tracklet as a queried agent reveals it: path, masks, protected template.

    `similarity` is the best cosine against the query's probes of the same epoch and shard.
    """

    tracklet_id: Id16
    is_subject: bool
    similarity: Similarity | None = None
    epoch: Epoch
    shard: Shard
    time_uncertainty_s: UncertaintyS
    template: Template
    quality: Probability
    face_count: Annotated[int, Field(ge=1, lt=1 << 31)]
    path: Annotated[
        tuple[PathPoint, ...],
        _AS_TUPLE,
        Field(max_length=limits.MAX_PATH_POINTS),
    ]
    masks: Annotated[
        tuple[MaskSpan, ...],
        _AS_TUPLE,
        Field(max_length=limits.MAX_MASK_SPANS),
    ]


class LookbackBody(WireModel):
    """Subject and co-present tracklets of one camera within the query's scope.

    Positions assume heads at `head_height_m`; for a head at h metres the true point lies at
    foot + (point - foot) * (camera_height_m - h) / (camera_height_m - head_height_m), with the
    pole's foot at the origin. `None` heights mean the camera is not calibrated: paths are empty.
    """

    camera_id: Name
    camera_height_m: Real | None = None
    head_height_m: Real | None = None
    head_height_sd_m: Real | None = None
    frame_interval_s: Real
    tracklets: Annotated[
        tuple[TrackletReport, ...],
        _AS_TUPLE,
        Field(max_length=limits.MAX_TRACKLETS_PER_PART),
    ]


class EvidenceItem(WireModel):
    """One redacted picture as uploaded over HTTPS; only its hash travels here."""

    evidence_id: Id16
    tracklet_id: Id16
    captured_us: Us
    sha256: Annotated[bytes, Field(min_length=32, max_length=32)]
    size_bytes: Count
    similarity: Similarity


class EvidenceBody(WireModel):
    """What was uploaded for an evidence query, and how many pictures were withheld."""

    camera_id: Name
    items: Annotated[
        tuple[EvidenceItem, ...],
        _AS_TUPLE,
        Field(max_length=limits.MAX_EVIDENCE_ITEMS),
    ]
    withheld: Count = 0
    withheld_reason: Annotated[str, Field(max_length=limits.MAX_REASON_CHARS)] = ""


class SealedEpochKey(WireModel):
    """The template key of one epoch and shard, sealed to one device."""

    epoch: Epoch
    shard: Shard
    sealed: Annotated[bytes, Field(min_length=1, max_length=256)]


class KeyDelivery(Message):
    """Retained, signed: the epoch keys that one agent may hold now."""

    agent_id: AgentId
    issued_us: Us
    keys: Annotated[
        tuple[SealedEpochKey, ...],
        _AS_TUPLE,
        Field(max_length=limits.MAX_EPOCH_KEYS),
    ]


class Envelope(WireModel):
    """A signed message: the payload's bytes as signed, who signed, and the signature."""

    v: Literal[1] = 1
    payload: Annotated[bytes, Field(max_length=limits.MAX_MESSAGE_BYTES)]
    key_id: Annotated[bytes, Field(min_length=8, max_length=8)]
    signature: Annotated[bytes, Field(min_length=64, max_length=64)]
