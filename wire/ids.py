"""UUIDv7 identifiers (RFC 9562), random or derived.

A derived id lets an agent that re-reads the same recording after a crash name the
same tracklet again, so that delivery stays exactly-once in the gallery.
"""

import hashlib
import hmac
import secrets
from uuid import UUID

_RANDOM_BYTES = 10


def uuid7(*, unix_ms: int, random_bytes: bytes | None = None) -> UUID:
    """Build a UUIDv7 for a point in time.

    `unix_ms`: milliseconds since 1970-01-01 UTC, 0 <= unix_ms < 2**48.
    `random_bytes`: 10 bytes of randomness; drawn from the system when absent.
    """
    if not 0 <= unix_ms < 1 << 48:
        raise ValueError(f"unix_ms out of range: {unix_ms}")
    tail = secrets.token_bytes(_RANDOM_BYTES) if random_bytes is None else random_bytes
    if len(tail) != _RANDOM_BYTES:
        raise ValueError(f"random_bytes must hold {_RANDOM_BYTES} bytes, got {len(tail)}")
    raw = bytearray(unix_ms.to_bytes(6, "big") + tail)
    raw[6] = (raw[6] & 0x0F) | 0x70
    raw[8] = (raw[8] & 0x3F) | 0x80
    return UUID(bytes=bytes(raw))


def derived_uuid7(*, unix_ms: int, secret: bytes, label: str) -> UUID:
    """Build the UUIDv7 that `secret` and `label` always give for this time."""
    digest = hmac.new(secret, f"{unix_ms}|{label}".encode(), hashlib.sha256).digest()
    return uuid7(unix_ms=unix_ms, random_bytes=digest[:_RANDOM_BYTES])


def uuid7_unix_ms(value: UUID) -> int:
    """Read the creation time, in milliseconds since 1970, out of a UUIDv7."""
    return int.from_bytes(value.bytes[:6], "big")
