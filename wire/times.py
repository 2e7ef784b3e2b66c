"""Time on the wire: whole microseconds since 1970-01-01 UTC, and UTC-day epochs."""

from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH_US: Final = 86_400_000_000
_ORIGIN: Final = datetime(1970, 1, 1, tzinfo=UTC)


def to_us(moment: datetime) -> int:
    """Convert an aware datetime to microseconds since 1970; a naive one is a ValueError."""
    if moment.tzinfo is None:
        raise ValueError("moment must be timezone-aware")
    return (moment - _ORIGIN) // timedelta(microseconds=1)


def from_us(value_us: int) -> datetime:
    """Convert microseconds since 1970 to an aware UTC datetime."""
    return _ORIGIN + timedelta(microseconds=value_us)


def epoch_of_us(value_us: int) -> int:
    """Return the template-key epoch (UTC days since 1970) that holds this moment."""
    return value_us // EPOCH_US
