"""One process's share of the city: thousands of sockets, arrivals and faults in a single loop."""

import math
import resource
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from sim.load.box import Kit
from sim.load.connection import Connection
from sim.load.demand import Demand
from sim.load.faults import FaultSettings, Luck
from sim.load.tally import Latencies, Report
from sim.load.traffic import Pace, Traffic
from sim.load.transport import Poller

TICK_S: Final = 0.02
SWEEP_S: Final = 1.0
"""Every connection is looked at once in this time: keepalive, timeouts, health, sending again."""
LONGEST_STEP_S: Final = 5.0
"""Arrivals in a longer pause of this process are not made up for."""


class Worker:
    """Serves many connections until told otherwise: `go`, `measure`, `drain`, `close`."""

    def __init__(
        self,
        connections: Sequence[Connection],
        *,
        kit: Kit,
        poller: Poller,
        demand: Demand,
        faults: FaultSettings,
        pace: Pace,
        rng: np.random.Generator,
        clock_s: Callable[[], float],
        clock_us: Callable[[], int],
        baseline_rss_bytes: int = 0,
    ) -> None:
        self._connections, self._kit, self._poller = connections, kit, poller
        self._faults, self._luck, self._pace = faults, Luck(faults, rng), pace
        self._clock_s, self._clock_us = clock_s, clock_us
        self._baseline_rss_bytes = baseline_rss_bytes
        self._traffic = Traffic(
            connections, kit=kit, demand=demand, luck=self._luck, pace=pace, rng=rng,
            clock_us=clock_us,
        )  # fmt: skip
        self._swept, self._owed = 0, 0.0
        self._now_s = clock_s()
        self._health_s = [self._now_s + pace.health_s * float(rng.random()) for _ in connections]
        self._storm_s = math.inf
        self._reached_s: float | None = None

    def go(self) -> None:
        """Let people pass from now on."""
        self._now_s = self._clock_s()
        self._traffic.go(self._now_s)
        if self._faults.storm_every_s:
            self._storm_s = self._now_s + self._faults.storm_every_s

    def measure(self) -> None:
        """Count the latencies of batches that are published from now on, and no others."""
        self._kit.latencies = Latencies()
        self._kit.measured_from_s = self._clock_s()

    def drain(self) -> None:
        """Let nobody pass any more; send what is left, late batches at once."""
        # What is let go now goes all at once, as it never would.
        self._kit.measured_until_s = self._clock_s()
        self._traffic.drain()
        self._storm_s = math.inf

    def close(self, timeout_s: float) -> None:
        """Publish every death and disconnect; what is left after `timeout_s` is cut off."""
        for connection in self._connections:
            connection.close()
        deadline_s = self._clock_s() + timeout_s
        while self._clock_s() < deadline_s and not all(c.gone for c in self._connections):
            self._serve_sockets(TICK_S)
        for connection in self._connections:
            connection.abandon()

    def step(self) -> None:
        """Serve sockets until the next tick, then do what time asks for."""
        self._serve_sockets(max(0.0, self._now_s + TICK_S - self._clock_s()))
        before_s, self._now_s = self._now_s, self._clock_s()
        elapsed_s = min(self._now_s - before_s, LONGEST_STEP_S)
        self._traffic.step(self._now_s, elapsed_s)
        if self._now_s >= self._storm_s:
            self._storm_s += self._faults.storm_every_s
            self._storm()
        self._sweep(elapsed_s)

    def report(self) -> Report:
        """Return what has come of it so far."""
        connected = sum(connection.up for connection in self._connections)
        if self._reached_s is None and connected == len(self._connections):
            self._reached_s = self._clock_s()
        boxes = [connection.box for connection in self._connections]
        spooled = sum(len(box.spool) for box in boxes)
        return Report(
            at_s=self._clock_s(),
            boxes=len(boxes),
            connected=connected,
            keyed=sum(box.keyed for box in boxes),
            spooled=spooled,
            waiting=self._traffic.waiting,
            tally=self._kit.tally,
            latencies=self._kit.latencies,
            reached_s=self._reached_s,
            rss_bytes=rss_bytes(),
            baseline_rss_bytes=self._baseline_rss_bytes,
            cpu_s=sum(resource.getrusage(resource.RUSAGE_SELF)[:2]),
            drained=self._traffic.over and not spooled,
        )

    def _serve_sockets(self, wait_s: float) -> None:
        for owner in self._poller.poll(wait_s):
            if isinstance(owner, Connection):
                owner.handle()
            elif callable(owner):
                owner()

    def _storm(self) -> None:
        up = [connection for connection in self._connections if connection.up]
        self._kit.tally.storms += 1
        for place in self._luck.struck(len(up)):
            up[place].drop()

    def _sweep(self, elapsed_s: float) -> None:
        total = len(self._connections)
        self._owed = min(self._owed + total * elapsed_s / SWEEP_S, float(total))
        while self._owed >= 1.0:
            self._owed -= 1.0
            self._swept = (self._swept + 1) % total
            self._look_at(self._swept)

    def _look_at(self, place: int) -> None:
        connection = self._connections[place]
        connection.tick(self._now_s)
        connection.pump(self._now_s)
        self._traffic.close_stuck(connection, self._now_s)
        if self._now_s >= self._health_s[place]:
            self._health_s[place] = self._now_s + self._pace.health_s
            if connection.up:
                self._kit.tally.health += 1
                connection.publish(connection.box.health(self._clock_us()))


def rss_bytes() -> int:
    """Return how much memory this process holds."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()
