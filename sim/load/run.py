"""One load run from beginning to end: connect, let people pass, drain, check, close."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from sim.errors import SimError
from sim.load.check import Api, Verdict, settled_count, verdict
from sim.load.crew import Crew
from sim.load.history import History
from sim.load.settings import LoadSettings
from sim.load.summary import Summary, Timing
from sim.load.tally import Report, sum_tallies

_MARGIN: Final = 0.1
_LISTEN_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Plan:
    """How long each part of a run may take, and over how many processes it is spread.

    `warm_up_s`: traffic before the `duration_s` that count for rates and latencies; losses and
    doubles are counted from the first sighting on. `connect_timeout_s`: with fewer connections or
    keys after it, the run goes on with what there is; with none at all it is an error.
    """

    processes: int
    duration_s: float = 60.0
    warm_up_s: float = 0.0
    connect_timeout_s: float = 120.0
    drain_timeout_s: float = 120.0


class Screen(Protocol):
    """Shows how a run goes."""

    def show(self, phase: str, reports: Sequence[Report]) -> None:
        """Show the latest reports."""


class LoadRun:
    """Runs once; Ctrl-C ends the traffic and drains, a second one ends the draining too."""

    def __init__(
        self, settings: LoadSettings, plan: Plan, screen: Screen, api: Api | None = None
    ) -> None:
        settings.check()
        self._settings, self._plan, self._screen, self._api = settings, plan, screen, api
        self._history = History()
        self._most_connected = 0
        self._interrupted = False
        self._started_s = time.monotonic()

    def run(self) -> Summary:
        """Do it all; raises `SimError` if a process fails or nothing can be connected."""
        before = 0 if self._api is None else settled_count(self._api)
        self._started_s = time.monotonic()
        crew = Crew(self._settings, self._plan.processes)
        try:
            return self._with(crew, before)
        finally:
            crew.kill()

    def _with(self, crew: Crew, before: int) -> Summary:
        went_s = ended_s = drained_s = time.monotonic()
        found: Verdict | None = None
        try:
            self._connect(crew)
            went_s = time.monotonic()
            crew.tell("go")
            if self._plan.warm_up_s:
                self._watch(crew, "warming up", self._plan.warm_up_s, lambda _: False)
                crew.tell("measure")
                went_s = time.monotonic()
            self._watch(crew, "running", self._plan.duration_s, lambda _: False)
        except KeyboardInterrupt:
            self._interrupted = True
        ended_s = time.monotonic()
        try:
            crew.tell("drain")
            self._watch(crew, "draining", self._plan.drain_timeout_s, _drained)
            drained_s = time.monotonic()
            found = self._verdict(crew, before)
        except KeyboardInterrupt:
            self._interrupted = True
            drained_s = time.monotonic()
        crew.finish()
        return self._summary(crew, went_s, ended_s, drained_s, found)

    def _connect(self, crew: Crew) -> None:
        timeout_s = self._plan.connect_timeout_s
        reports = self._watch(crew, "connecting", timeout_s, _ready)
        if not any(one.connected for one in reports):
            tally = sum_tallies(one.tally for one in reports)
            raise SimError(
                f"broker: no connection in {timeout_s:.0f} s ({tally.failed_connects} failed, "
                f"{tally.refused_connects} refused); check --host, --port, TLS and the login"
            )
        if not any(one.keyed for one in reports):
            raise SimError(
                f"keys: none delivered in {timeout_s:.0f} s; register the boxes with `sightline "
                "sim load register`, with this secret, and check that the controller runs"
            )

    def _watch(
        self, crew: Crew, phase: str, timeout_s: float, over: Callable[[Sequence[Report]], bool]
    ) -> Sequence[Report]:
        deadline_s = time.monotonic() + timeout_s
        while True:
            if crew.listen(min(_LISTEN_S, max(0.0, deadline_s - time.monotonic()))):
                self._note(crew, phase)
            reports = crew.reports or ()
            if (reports and over(reports)) or time.monotonic() >= deadline_s:
                return reports

    def _note(self, crew: Crew, phase: str) -> None:
        reports = crew.reports
        if reports is None:
            return
        for place, report in enumerate(reports):
            self._history.take(place, report)
        self._most_connected = max(self._most_connected, sum(one.connected for one in reports))
        self._screen.show(phase, reports)

    def _verdict(self, crew: Crew, before: int) -> Verdict | None:
        if self._api is None:
            return None
        tally = sum_tallies(one.tally for one in crew.reports or ())
        return verdict(self._api, before, published=tally.published, acked=tally.acked)

    def _summary(
        self, crew: Crew, went_s: float, ended_s: float, drained_s: float, found: Verdict | None
    ) -> Summary:
        reports = crew.reports or []
        run_s = ended_s - went_s
        middle = (went_s + _MARGIN * run_s, ended_s - _MARGIN * run_s)
        reached = [one.reached_s for one in reports if one.reached_s is not None]
        all_reached = bool(reports) and len(reached) == len(reports)
        timing = Timing(
            run_s=run_s,
            drain_s=drained_s - ended_s,
            # Every process keeps the machine's monotonic clock, so moments can be compared.
            reach_s=max(reached) - self._started_s if all_reached else None,
            most_connected=self._most_connected,
            made_per_s=self._history.made_per_s(*middle),
            acked_per_s=self._history.acked_per_s(*middle),
            interrupted=self._interrupted,
        )
        return Summary(reports, timing, found)


def _ready(reports: Sequence[Report]) -> bool:
    return all(one.connected == one.boxes == one.keyed for one in reports)


def _drained(reports: Sequence[Report]) -> bool:
    return all(one.drained for one in reports)
