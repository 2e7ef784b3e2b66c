"""What a run came to: the figures that are printed, and written as JSON."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from sim.load.check import Verdict
from sim.load.tally import Latencies, Report, sum_tallies


@dataclass(frozen=True, slots=True)
class Timing:
    """What the parent measured: seconds, and sightings a second over the run's middle 80 %."""

    run_s: float
    drain_s: float
    reach_s: float | None
    most_connected: int
    made_per_s: float
    acked_per_s: float
    interrupted: bool


@dataclass(frozen=True, slots=True)
class Summary:
    """One run: the last report of every process, the timing, and the verdict if asked for."""

    reports: Sequence[Report]
    timing: Timing
    verdict: Verdict | None = None

    @property
    def boxes(self) -> int:
        """How many boxes there were."""
        return sum(one.boxes for one in self.reports)

    @property
    def failed(self) -> bool:
        """Whether something was lost, duplicated, or (if nobody interrupted) not delivered."""
        if self.verdict is not None and not self.verdict.holds:
            return True
        return not self.timing.interrupted and bool(self.outstanding or self.waiting)

    @property
    def outstanding(self) -> int:
        """Published sightings that were not acknowledged at the end."""
        tally = sum_tallies(one.tally for one in self.reports)
        return tally.published - tally.acked

    @property
    def waiting(self) -> int:
        """Sightings made but never published."""
        tally = sum_tallies(one.tally for one in self.reports)
        return tally.made - tally.published

    @property
    def latencies(self) -> Latencies:
        """Seconds from a batch's first publish to its acknowledgement, by sighting."""
        merged = Latencies()
        for one in self.reports:
            merged.merge(one.latencies)
        return merged

    def to_json(self) -> dict[str, Any]:
        """Return all figures; times in seconds, sizes in bytes."""
        tally, latencies, timing = (
            sum_tallies(one.tally for one in self.reports), self.latencies, self.timing,
        )  # fmt: skip
        cpu_s = sum(one.cpu_s for one in self.reports)
        grown = sum(one.rss_bytes - one.baseline_rss_bytes for one in self.reports)
        return {
            "boxes": self.boxes,
            "connections_reached": timing.most_connected,
            "reach_s": timing.reach_s,
            "run_s": timing.run_s,
            "drain_s": timing.drain_s,
            "interrupted": timing.interrupted,
            "made_per_s": timing.made_per_s,
            "acked_per_s": timing.acked_per_s,
            "latency_s": {
                "p50": latencies.percentile_s(50),
                "p95": latencies.percentile_s(95),
                "p99": latencies.percentile_s(99),
                "max": latencies.longest_s if latencies.total else None,
            },
            "outstanding": self.outstanding,
            "waiting": self.waiting,
            "sightings_per_batch": tally.published / tally.batches if tally.batches else None,
            "memory_per_connection_bytes": grown / self.boxes if self.boxes else None,
            "processes": len(self.reports),
            "cpu_s": cpu_s,
            **asdict(tally),
            # Every process counts the same storms.
            "storms": max((one.tally.storms for one in self.reports), default=0),
            "verify": None if self.verdict is None else _verdict_json(self.verdict),
            "failed": self.failed,
        }

    def table(self) -> Table:
        """Return the figures that people look at first."""
        value = self.to_json()
        latency = value["latency_s"]
        table = Table("figure", "value", title="load", show_header=False)
        reach = f" in {value['reach_s']:.1f} s" if value["reach_s"] is not None else ", never all"
        table.add_row("connections", f"{value['connections_reached']} of {self.boxes}{reach}")
        table.add_row("made", f"{value['made_per_s']:.0f} sightings/s")
        table.add_row("acknowledged", f"{value['acked_per_s']:.0f} sightings/s (middle 80 %)")
        words = ", ".join(f"{name} {_seconds(took)}" for name, took in latency.items())
        table.add_row("publish to acknowledged", words)
        table.add_row("published, acknowledged", f"{value['published']}, {value['acked']}")
        table.add_row("outstanding, never sent", f"{self.outstanding}, {self.waiting}")
        table.add_row("held back at full boxes", str(value["held_back"]))
        table.add_row(
            "batches", f"{value['batches']}, {value['sightings_per_batch'] or 0:.1f} each"
        )
        table.add_row("sent twice on purpose, late", f"{value['duplicates']}, {value['late']}")
        table.add_row("sent again for want of an ack", str(value["resent"]))
        table.add_row("reconnects", f"{value['reconnects']} ({value['storms']} storms)")
        table.add_row("bytes out, in", f"{value['bytes_out']:,}, {value['bytes_in']:,}")
        kib = (value["memory_per_connection_bytes"] or 0) / 1024
        table.add_row("this tool", f"{value['cpu_s']:.1f} s CPU, {kib:.1f} KiB a connection")
        if self.verdict is not None:
            words = f"{self.verdict.lost} lost, {self.verdict.duplicated} duplicated"
            table.add_row("gallery", f"{self.verdict.gained} more: {words}")
        return table


def _verdict_json(verdict: Verdict) -> dict[str, Any]:
    return {
        **asdict(verdict), "lost": verdict.lost, "duplicated": verdict.duplicated,
        "holds": verdict.holds,
    }  # fmt: skip


def _seconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value * 1000:.0f} ms" if value < 1.0 else f"{value:.1f} s"
