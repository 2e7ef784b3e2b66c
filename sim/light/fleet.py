"""Hundreds of light agents in one thread: one selector over all their MQTT sockets."""

import contextlib
import heapq
import json
import logging
import resource
import selectors
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final
from uuid import UUID

from sim.light.agent import LightAgent
from sim.light.connection import ClockUs, Connection

_LOG: Final = logging.getLogger(__name__)
_TICK_S: Final = 0.5
_STATUS_EVERY_S: Final = 1.0
_GOODBYE_S: Final = 5.0


class LightFleet:
    """Runs light agents until told to stop.

    `status_file` (JSON) is rewritten each second: connected, sightings, produced, acked.
    `ledger_file` gets the id of every sighting, one hex text a line, before it is published.
    """

    def __init__(
        self,
        agents: Sequence[LightAgent],
        address: tuple[str, int],
        clock_us: ClockUs,
        *,
        status_file: Path | None = None,
        ledger_file: Path | None = None,
    ) -> None:
        _allow_sockets(len(agents) + 64)
        self._selector = selectors.DefaultSelector()
        self._connections = [
            Connection(agent, address, self._selector, clock_us, jitter=i / max(len(agents), 1))
            for i, agent in enumerate(agents)
        ]
        self._status_file = status_file
        self._ledger_file = ledger_file
        self._noted: dict[str, int] = {}

    def run(self, stopping: Callable[[], bool]) -> None:
        """Serve all agents until `stopping()` is true, then publish every death and return."""
        start_s = time.monotonic()
        count = max(len(self._connections), 1)
        timers = [
            (start_s + _TICK_S * i / count, i) for i, _ in enumerate(self._connections)
        ]  # spread over the tick, so that no two agents fall due together
        status_due_s = start_s
        while not stopping():
            wait_s = timers[0][0] - time.monotonic() if timers else _TICK_S
            self._serve_sockets(max(0.0, min(wait_s, _TICK_S)))
            self._serve_timers(timers)
            if time.monotonic() >= status_due_s:
                status_due_s = time.monotonic() + _STATUS_EVERY_S
                self._write_status()
        self._goodbye()

    def status(self) -> dict[str, int]:
        """Return how many agents are connected and how far their sightings have come."""
        agents = [connection.agent for connection in self._connections]
        return {
            "agents": len(agents),
            "connected": sum(connection.connected for connection in self._connections),
            "sightings": sum(agent.total for agent in agents),
            "produced": sum(len(agent.produced) for agent in agents),
            "acked": sum(agent.acked for agent in agents),
        }

    def _serve_sockets(self, wait_s: float) -> None:
        for key, mask in self._selector.select(wait_s):
            connection: Connection = key.data
            connection.ready(mask)

    def _serve_timers(self, timers: list[tuple[float, int]]) -> None:
        now_s = time.monotonic()
        while timers and timers[0][0] <= now_s:
            _, index = timers[0]
            self._connections[index].tick(now_s)
            self._note(self._connections[index].agent)
            heapq.heapreplace(timers, (now_s + _TICK_S, index))

    def _note(self, agent: LightAgent) -> None:
        name = agent.identity.agent_id
        new: list[UUID] = agent.produced[self._noted.get(name, 0) :]
        if self._ledger_file is None or not new:
            return
        self._noted[name] = len(agent.produced)
        with self._ledger_file.open("a", encoding="ascii") as ledger:
            ledger.writelines(f"{one.hex}\n" for one in new)

    def _write_status(self) -> None:
        if self._status_file is None:
            return
        fresh = self._status_file.with_suffix(".new")
        fresh.write_text(json.dumps(self.status()), encoding="utf-8")
        fresh.replace(self._status_file)

    def _goodbye(self) -> None:
        for connection in self._connections:
            connection.close()
        deadline_s = time.monotonic() + _GOODBYE_S
        while time.monotonic() < deadline_s and not all(c.idle for c in self._connections):
            self._serve_sockets(0.1)
        self._write_status()
        _LOG.info("event=stopped agents=%d", len(self._connections))


def _allow_sockets(needed: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < needed:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(needed, hard), hard))
