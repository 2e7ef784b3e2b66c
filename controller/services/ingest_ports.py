"""What ingest needs beyond the common ports: quarantine and a meter."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A refused message as it is kept; `reason` starts with the reason's code and a colon."""

    at_us: int
    topic: str
    reason: str
    payload: bytes
    position: int = 0

    @property
    def code(self) -> str:
        """The reason's code alone."""
        return self.reason.partition(":")[0]


class QuarantineStore(Protocol):
    """Refused messages, kept for a look and for another try; bounded."""

    def add(self, messages: Sequence[Quarantined]) -> list[bool]:
        """Keep refused messages durably; tell of each whether it is kept.

        Beyond the bounds the oldest that nobody signed go first. One whose agent signed it never
        goes: where those fill the bounds a new one is not kept.
        """
        ...

    def count(self) -> int:
        """Return how many were ever refused, dropped ones included."""
        ...

    def kept(self) -> dict[str, int]:
        """Return how many are kept now, by reason code."""
        ...

    def listed(self, *, code: str | None, after: int, limit: int) -> list[Quarantined]:
        """Return kept messages beyond a position in order; their payloads are left out."""
        ...

    def one(self, position: int) -> Quarantined | None:
        """Return one kept message whole."""
        ...

    def remove(self, positions: Sequence[int]) -> int:
        """Forget messages; return how many were there."""
        ...


class Meter(Protocol):
    """Takes the measurements that a counter cannot hold."""

    def stored(self, sightings: int, insert_s: float, delays_s: Sequence[float]) -> None:
        """Note a durable group: its size, its insert's seconds, each batch's publish-to-durable."""
        ...


class NoMeter:
    """A meter for those who do not measure."""

    def stored(self, sightings: int, insert_s: float, delays_s: Sequence[float]) -> None:
        """Do nothing."""
