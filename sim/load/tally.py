"""What the load tool counts: plain counters and a bounded histogram of latencies."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

_GROWTH: Final = 1.05
_SHORTEST_S: Final = 1e-4
_LONGEST_S: Final = 86_400.0
_LOG_GROWTH: Final = math.log(_GROWTH)


def bucket_of(latency_s: float) -> int:
    """Return the histogram's bucket of a latency; 0.1 ms to a day, the rest goes to the ends."""
    bounded = min(max(latency_s, _SHORTEST_S), _LONGEST_S)
    return math.ceil(math.log(bounded / _SHORTEST_S) / _LOG_GROWTH - 1e-9)


def upper_s(bucket: int) -> float:
    """Return the longest latency of a bucket, in seconds."""
    return _SHORTEST_S * _GROWTH**bucket


@dataclass(slots=True)
class Latencies:
    """A histogram with 5 % wide buckets (at most 424): percentiles err upward by at most 5 %."""

    counts: dict[int, int] = field(default_factory=dict)
    longest_s: float = 0.0

    def add(self, latency_s: float, count: int = 1) -> None:
        """Count `count` sightings that took this long."""
        bucket = bucket_of(latency_s)
        self.counts[bucket] = self.counts.get(bucket, 0) + count
        self.longest_s = max(self.longest_s, latency_s)

    def merge(self, other: "Latencies") -> None:
        """Take another histogram in."""
        for bucket, count in other.counts.items():
            self.counts[bucket] = self.counts.get(bucket, 0) + count
        self.longest_s = max(self.longest_s, other.longest_s)

    @property
    def total(self) -> int:
        """How many sightings were counted."""
        return sum(self.counts.values())

    def percentile_s(self, percent: float) -> float | None:
        """Return the latency that `percent` of all sightings stayed within; None if none came."""
        wanted = math.ceil(self.total * percent / 100.0)
        seen = 0
        for bucket in sorted(self.counts):
            seen += self.counts[bucket]
            if seen >= max(wanted, 1):
                return min(upper_s(bucket), self.longest_s)
        return None

    def to_json(self) -> dict[str, Any]:
        """Return a form that JSON can carry."""
        return {"counts": sorted(self.counts.items()), "longest_s": self.longest_s}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Latencies":
        """Read what `to_json` gave."""
        return cls({int(b): int(n) for b, n in value["counts"]}, float(value["longest_s"]))


@dataclass(slots=True)
class Tally:
    """Counters of one process; they only grow.

    `published`, `acked`: distinct sightings. `duplicates`: batches sent a second time on purpose,
    as they are or under a new number. `resent`: batches sent again for want of an acknowledgement.
    `held_back`: arrivals that a box could not take (no key yet, or its spool full).
    `late_at_once`: batches that should have been late, but too many were held already.
    """

    made: int = 0
    held_back: int = 0
    published: int = 0
    acked: int = 0
    batches: int = 0
    duplicates: int = 0
    resent: int = 0
    late: int = 0
    late_at_once: int = 0
    health: int = 0
    pubacks: int = 0
    acks: int = 0
    queries: int = 0
    dropped_messages: int = 0
    storms: int = 0
    storm_drops: int = 0
    lost_connections: int = 0
    failed_connects: int = 0
    refused_connects: int = 0
    refused_subscriptions: int = 0
    reconnects: int = 0
    bytes_out: int = 0
    bytes_in: int = 0


def sum_tallies(tallies: Iterable[Tally]) -> Tally:
    """Add counters up."""
    total = Tally()
    for one in tallies:
        for name in (each.name for each in fields(Tally)):
            setattr(total, name, getattr(total, name) + getattr(one, name))
    return total


@dataclass(frozen=True, slots=True)
class Report:
    """What one process tells once a second; `at_s` is the machine's monotonic clock.

    `reached_s`: when all its boxes were connected for the first time. `spooled`: sightings in
    batches that are not acknowledged; `waiting`: sightings not in a batch yet, held ones included.
    """

    at_s: float
    boxes: int
    connected: int
    keyed: int
    spooled: int
    waiting: int
    tally: Tally
    latencies: Latencies
    reached_s: float | None = None
    rss_bytes: int = 0
    baseline_rss_bytes: int = 0
    cpu_s: float = 0.0
    drained: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return a form that JSON can carry."""
        plain = {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if each.name not in ("tally", "latencies")
        }
        return plain | {"tally": asdict(self.tally), "latencies": self.latencies.to_json()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Report":
        """Read what `to_json` gave."""
        parts = {
            "tally": Tally(**value["tally"]),
            "latencies": Latencies.from_json(value["latencies"]),
        }
        return cls(**{**value, **parts})
