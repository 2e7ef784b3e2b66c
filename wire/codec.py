"""CBOR codec of the contract (RFC 8949): bounded, strict, one error type for all bad input."""

import io
from typing import Any, NoReturn, TypeVar

import cbor2
from pydantic import ValidationError

from wire import limits
from wire.errors import DecodeError, LimitExceeded
from wire.messages import SightingBatch, WireModel

M = TypeVar("M", bound=WireModel)


def encode(message: WireModel) -> bytes:
    """Encode a message as a CBOR map; raises `LimitExceeded` above the contract's sizes."""
    data: bytes = cbor2.dumps(message.model_dump(by_alias=True, exclude_none=True))
    if len(data) > limits.MAX_MESSAGE_BYTES:
        raise LimitExceeded(
            f"{type(message).__name__}: {len(data)} bytes > {limits.MAX_MESSAGE_BYTES}; split it"
        )
    if isinstance(message, SightingBatch):
        _check_sighting_sizes(message)
    return data


def decode(kind: type[M], data: bytes) -> M:
    """Decode one message of a given kind.

    Raises `LimitExceeded` if `data` is too long, `DecodeError` for anything else that is not
    exactly one valid message.
    """
    if len(data) > limits.MAX_MESSAGE_BYTES:
        raise LimitExceeded(f"{kind.__name__}: {len(data)} bytes > {limits.MAX_MESSAGE_BYTES}")
    value = _load(kind.__name__, data)
    if not isinstance(value, dict):
        raise DecodeError(f"{kind.__name__}: a message is a CBOR map, got {type(value).__name__}")
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise DecodeError(_first_fault(kind.__name__, error)) from None


def _load(name: str, data: bytes) -> Any:
    stream = io.BytesIO(data)
    try:
        value = cbor2.CBORDecoder(stream, tag_hook=_no_tags).decode()
    except DecodeError:
        raise
    except (
        cbor2.CBORDecodeError,
        ValueError,
        TypeError,
        OverflowError,
        RecursionError,
        MemoryError,
        LookupError,
        ArithmeticError,
    ) as error:
        raise DecodeError(f"{name}: not CBOR ({type(error).__name__})") from None
    if stream.tell() != len(data):
        raise DecodeError(f"{name}: {len(data) - stream.tell()} bytes after the message")
    return value


def _no_tags(*_: Any) -> NoReturn:
    raise DecodeError("CBOR tags are not part of the contract")


def _first_fault(name: str, error: ValidationError) -> str:
    # Never echo the offending value: it may be a template.
    fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in fault["loc"]) or "message"
    return f"{name}.{where}: {fault['msg']}"


def _check_sighting_sizes(batch: SightingBatch) -> None:
    for sighting in batch.sightings:
        size = len(cbor2.dumps(sighting.model_dump()))
        if size > limits.MAX_SIGHTING_BYTES:
            raise LimitExceeded(f"sighting {sighting.id}: {size} > {limits.MAX_SIGHTING_BYTES}")
