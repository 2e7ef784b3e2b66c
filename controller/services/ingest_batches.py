"""What checking makes of a message: a batch as compact records, or a refusal with its reason.

Both can cross a process border: a worker process checks, the owner of the gallery stores.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID

from controller.services.clock_offsets import Correction
from controller.services.ports import GalleryRow
from wire import limits
from wire.messages import MaskState, Sighting, SightingBatch

_RECORD: Final = struct.Struct(f"<16sIqqdBddI{limits.TEMPLATE_BYTES}s")
_STATES: Final = tuple(MaskState)
_CODES: Final = {state: code for code, state in enumerate(_STATES)}


class Reason(StrEnum):
    """Why a message is refused; the only values of the `reason` label of the metrics."""

    TOPIC = "topic"
    UNREGISTERED = "unregistered"
    UNDECODABLE = "undecodable"
    SIGNATURE = "signature"
    AGENT = "agent_id"
    CAMERA = "camera_id"
    SHARD = "shard"
    SPACE = "space_id"
    EPOCH = "epoch"
    RETENTION = "retention"


ACKNOWLEDGED: Final = frozenset(
    {Reason.CAMERA, Reason.SHARD, Reason.SPACE, Reason.EPOCH, Reason.RETENTION}
)
"""Reasons of batches that their own agent signed. Quarantine keeps them and they are acknowledged:
else the gap would hold back everything that the agent says after them."""


class BatchDamaged(ValueError):
    """Records of a batch are not whole; only a fault of this program makes such."""


@dataclass(frozen=True, slots=True)
class Numbered:
    """A message's place in an agent's spool."""

    agent_id: str
    stream: str
    spool_id: UUID
    seq: int


@dataclass(frozen=True, slots=True)
class CheckedBatch:
    """A batch that passed every check; `records` holds its sightings, packed one after another."""

    number: Numbered
    camera_id: str
    shard: int
    space_id: str
    variant: str
    sent_us: int
    received_us: int
    records: bytes

    @property
    def sightings(self) -> int:
        """How many sightings it holds."""
        return len(self.records) // _RECORD.size

    def rows(self, correction: Correction) -> list[GalleryRow]:
        """Return the rows of the gallery; raw times stay, the correction stands beside them."""
        if len(self.records) % _RECORD.size:
            raise BatchDamaged(f"records: {len(self.records)} bytes are no whole sightings")
        return [
            GalleryRow(
                UUID(bytes=id_), self.number.agent_id, self.camera_id, epoch, self.shard, start_us,
                end_us, uncertainty_s + correction.uncertainty_s, self.space_id, self.variant,
                template, _STATES[state].value, mask_probability, quality, face_count,
                correction.offset_s,
            )
            for id_, epoch, start_us, end_us, uncertainty_s, state, mask_probability, quality,
            face_count, template in _RECORD.iter_unpack(self.records)
        ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Refused:
    """A message that may not be taken; `number` if its own agent signed it and it is numbered."""

    topic: str
    payload: bytes
    reason: Reason
    detail: str
    number: Numbered | None = None

    @property
    def text(self) -> str:
        """The reason's code, a colon, and what is wrong in words."""
        return f"{self.reason.value}: {self.detail}"[: limits.MAX_REASON_CHARS]


Outcome = CheckedBatch | Refused


@dataclass(frozen=True, slots=True)
class Handed:
    """Messages that were checked elsewhere, settled together once all of them are durable.

    `again`: from quarantine; its number may be acknowledged already, so it is stored regardless.
    """

    outcomes: Sequence[Outcome]
    settle: Callable[[], None]
    again: bool = False


def pack_batch(batch: SightingBatch, received_us: int) -> CheckedBatch:
    """Return a checked batch as compact records."""
    return CheckedBatch(
        number=Numbered(batch.agent_id, "sightings", batch.spool_id, batch.seq),
        camera_id=batch.camera_id,
        shard=batch.shard,
        space_id=batch.space_id,
        variant=batch.variant,
        sent_us=batch.sent_us,
        received_us=received_us,
        records=b"".join(map(_record, batch.sightings)),
    )


def _record(one: Sighting) -> bytes:
    return _RECORD.pack(
        one.id.bytes, one.epoch, one.start_us, one.end_us, one.time_uncertainty_s,
        _CODES[one.mask_state], one.mask_probability, one.quality, one.face_count, one.template,
    )  # fmt: skip
