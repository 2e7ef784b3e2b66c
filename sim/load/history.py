"""How counters grew over a run: samples of every process, and rates between two moments."""

from collections import deque
from dataclasses import dataclass
from typing import Final

from sim.load.tally import Report

MAX_SAMPLES: Final = 100_000
"""Samples of one process (a day at one a second); the oldest goes first."""


@dataclass(frozen=True, slots=True)
class _Sample:
    at_s: float
    acked: int
    made: int


class History:
    """Takes reports in; answers for any moment between two of them by a straight line."""

    def __init__(self) -> None:
        self._samples: dict[int, deque[_Sample]] = {}

    def take(self, place: int, report: Report) -> None:
        """Note one process's report; one that was noted already changes nothing."""
        samples = self._samples.setdefault(place, deque(maxlen=MAX_SAMPLES))
        if samples and samples[-1].at_s >= report.at_s:
            return
        samples.append(_Sample(report.at_s, report.tally.acked, report.tally.made))

    def acked_per_s(self, start_s: float, end_s: float) -> float:
        """Return acknowledged sightings a second between two moments, over all processes."""
        return self._rate("acked", start_s, end_s)

    def made_per_s(self, start_s: float, end_s: float) -> float:
        """Return sightings made a second between two moments, over all processes."""
        return self._rate("made", start_s, end_s)

    def _rate(self, name: str, start_s: float, end_s: float) -> float:
        if end_s <= start_s:
            return 0.0
        grown = sum(
            _at(samples, name, end_s) - _at(samples, name, start_s)
            for samples in self._samples.values()
        )
        return grown / (end_s - start_s)


def _at(samples: deque[_Sample], name: str, at_s: float) -> float:
    before = samples[0]
    for sample in samples:
        if sample.at_s >= at_s:
            low, high = float(getattr(before, name)), float(getattr(sample, name))
            span_s = sample.at_s - before.at_s
            return high if span_s <= 0 else low + (high - low) * (at_s - before.at_s) / span_s
        before = sample
    return float(getattr(before, name))
