"""Figures in Prometheus' text format; counts and times only, nothing of a case or of one agent.

Labels have a fixed set of values (reason codes), so that no sender can make the output grow.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
PREFIX: Final = "sightline_controller_"
_SINCE: Final = " since this process started"
COUNTERS: Final = {
    "ingest_sightings_total": "Sightings made durable",
    "ingest_batches_total": "Batches that passed every check, repeated ones included",
    "ingest_repeated_batches_total": "Messages that came again and were durable already",
    "ingest_held_back_total": "Refused batches that quarantine had no room for, not acknowledged",
    "ingest_replies_total": "Parts of replies made durable",
    "ingest_failures_total": "Times that storing or telling failed and was tried again or logged",
    "ingest_worker_restarts_total": "Ingest workers that were started again",
}
"""Counters by the name of their figure, and what their HELP says."""
GAUGES: Final = {
    "gallery_sightings": "Sightings that can be searched",
    "agents_registered": "Agents in the registry",
    "agents_online": "Agents whose last state says online",
    "cases_live": "Cases that have not ended",
    "broker_connected": "1 while this process is connected to the broker",
    "ingest_queue_depth": "Items that wait for the ingest thread (at most 2000)",
    "ingest_spools_ahead": "Agents' spools with a gap in what has come",
    "ingest_workers": "Ingest workers that there should be; 0: this process does their work",
    "ingest_workers_alive": "Ingest workers that run and have the broker's connection",
    "ingest_last_insert_age_seconds": "Since the last durable group; absent before the first",
    "disk_free_bytes": "Room on the disk nearest to its floor",
    "disk_floor_bytes": "Below this room ingest holds back",
    "ingest_held_by_disk": "1 while ingest holds back for want of room on a disk",
    "clocks_watched": "Agents whose clock is estimated",
    "clocks_corrected": "Agents whose times are corrected",
    "clocks_fastest_offset_seconds": "Least correction of all agents (negative: a fast clock)",
    "clocks_slowest_offset_seconds": "Greatest correction of all agents (positive: a slow clock)",
}
_DELAY_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 1_800, 7_200, 86_400)
_SIZE_BUCKETS: Final = (1, 4, 16, 64, 256, 1_024, 2_048, 4_096, 8_192)
_INSERT_BUCKETS: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 15)


@dataclass(frozen=True, slots=True)
class Figures:
    """What is read at a scrape: plain values by name, and counts by reason code."""

    values: Mapping[str, int | float]
    refused: Mapping[str, int]
    quarantined: Mapping[str, int]


class PrometheusMeter:
    """A `Meter` over a registry of its own; `expose` adds what is read when somebody asks."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._delay = self._histogram(
            "publish_to_searchable_seconds",
            "From a batch's sent_us, clock corrected, until it can be searched; once a batch",
            _DELAY_BUCKETS,
        )
        self._size = self._histogram(
            "ingest_group_sightings", "Sightings of one durable group", _SIZE_BUCKETS
        )
        self._insert = self._histogram(
            "ingest_insert_seconds", "The gallery's insert of one group", _INSERT_BUCKETS
        )

    def stored(self, sightings: int, insert_s: float, delays_s: Sequence[float]) -> None:
        """Note a durable group: its size, its insert's seconds, each batch's publish-to-durable."""
        self._size.observe(sightings)
        self._insert.observe(insert_s)
        for delay_s in delays_s:
            self._delay.observe(delay_s)

    def expose(self, figures: Callable[[], Figures]) -> None:
        """Read these figures once at each scrape."""
        self._registry.register(_Scrape(figures))

    def text(self) -> bytes:
        """Return all figures as Prometheus reads them."""
        return generate_latest(self._registry)

    def _histogram(self, name: str, what: str, buckets: Sequence[float]) -> Histogram:
        return Histogram(
            PREFIX + name, what + _SINCE + ".", buckets=tuple(buckets), registry=self._registry
        )


class _Scrape(Collector):
    """Turns figures into metrics."""

    def __init__(self, figures: Callable[[], Figures]) -> None:
        self._figures = figures

    def describe(self) -> list[Metric]:
        # Else the registry would scrape once at registration, before all parts are there.
        return []

    def collect(self) -> Iterator[Metric]:
        figures = self._figures()
        for name, what in COUNTERS.items():
            yield CounterMetricFamily(PREFIX + name, what + _SINCE + ".", figures.values[name])
        for name, what in GAUGES.items():
            if name in figures.values:
                yield GaugeMetricFamily(PREFIX + name, what + ".", figures.values[name])
        refused = CounterMetricFamily(
            PREFIX + "ingest_refused_total", "Messages refused" + _SINCE + ".", labels=["reason"]
        )
        kept = GaugeMetricFamily(
            PREFIX + "quarantine_messages", "Refused messages kept now.", labels=["reason"]
        )
        for family, counts in ((refused, figures.refused), (kept, figures.quarantined)):
            for reason, count in sorted(counts.items()):
                family.add_metric([reason], count)
            yield family
