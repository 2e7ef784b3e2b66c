"""What worker processes and the owner of the gallery say to each other, over one local socket.

CBOR, never pickle: a worker reads hostile bytes, and must not be able to run code in the owner.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import cbor2

from controller.errors import ControllerError
from controller.services.ingest_batches import CheckedBatch, Numbered, Outcome, Reason, Refused

MAX_GROUP_MESSAGES: Final = 64
"""Messages that a worker hands over at a time."""
MAX_GROUPS_UNDER_WAY: Final = 4
"""Groups of one worker that the owner has not yet called durable; then the worker waits, its queue
fills, PUBACKs stop, and the broker holds back."""
MAX_FRAME_BYTES: Final = 32 * 1024 * 1024
"""More than 64 messages of the largest size; a longer frame ends the connection."""


class WorkerSpeechInvalid(ControllerError):
    """A frame is not what the other side may say; the worker is started anew."""


@dataclass(frozen=True, slots=True)
class Handover:
    """A worker's group of checked messages, by number."""

    number: int
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True)
class Condition:
    """A worker's connection to the broker, told when it changes."""

    connected: bool


def encode_handover(number: int, outcomes: Sequence[Outcome]) -> bytes:
    """Return the frame of a group."""
    frame: bytes = cbor2.dumps([number, [_plain(one) for one in outcomes]])
    return frame


def encode_condition(*, connected: bool) -> bytes:
    """Return the frame that tells of a connection made or lost."""
    frame: bytes = cbor2.dumps(connected)
    return frame


def decode_speech(frame: bytes) -> Handover | Condition:
    """Return what a worker said; raises `WorkerSpeechInvalid`."""
    try:
        said = cbor2.loads(frame)
        if isinstance(said, bool):
            return Condition(said)
        number, outcomes = said
        return Handover(int(number), tuple(_outcome(one) for one in outcomes))
    except (cbor2.CBORDecodeError, ValueError, TypeError) as error:
        raise WorkerSpeechInvalid(
            f"worker: a frame of {len(frame)} bytes is damaged ({type(error).__name__})"
        ) from None


def _plain(one: Outcome) -> list[Any]:
    if isinstance(one, CheckedBatch):
        return [
            _number(one.number), one.camera_id, one.shard, one.space_id, one.variant, one.sent_us,
            one.received_us, one.records,
        ]  # fmt: skip
    number = None if one.number is None else _number(one.number)
    return [number, one.topic, one.payload, one.reason.value, one.detail]


def _number(number: Numbered) -> list[Any]:
    return [number.agent_id, number.stream, number.spool_id.bytes, number.seq]


def _outcome(values: list[Any]) -> Outcome:
    number = None
    if values[0] is not None:
        agent_id, stream, spool_id, seq = values[0]
        number = Numbered(agent_id, stream, UUID(bytes=spool_id), seq)
    if len(values) == 5:
        _, topic, payload, reason, detail = values
        return Refused(topic, payload, Reason(reason), detail, number)
    if number is None:
        raise ValueError("a batch without a number")
    return CheckedBatch(number, *values[1:])
