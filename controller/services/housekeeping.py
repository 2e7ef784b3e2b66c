"""What must happen by itself: key deliveries, expiry of cases, retention, write-behind."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from controller.errors import ControllerError
from controller.services.cases import CaseService
from controller.services.keys import KeyService
from controller.services.ports import Publisher
from controller.services.stores import FleetStore
from controller.services.values import Agent
from wire.signing import sign
from wire.times import epoch_of_us
from wire.topics import agent_topic

_LOG: Final = logging.getLogger(__name__)
_EVERY_S: Final = 2.0
_KEYS_PER_BREATH: Final = 100
_BREATH_S: Final = 0.05
"""Sealing a whole city's keys takes seconds of CPU time; ingest goes on between the breaths."""


class Purgeable(Protocol):
    """A gallery whose old days can be dropped."""

    def purge_before(self, epoch: int) -> int:
        """Drop all epochs before this one."""

    def maintain(self) -> None:
        """Do what is due now and then."""


@dataclass(frozen=True, slots=True)
class HousekeepingParts:
    """What housekeeping is built from; `flush` writes what is kept in memory meanwhile."""

    keys: KeyService
    cases: CaseService
    fleet: FleetStore
    gallery: Purgeable
    publisher: Publisher
    signing: Ed25519PrivateKey
    now_us: Callable[[], int]
    flush: Callable[[], object]
    retention_days: int


class Housekeeping:
    """One thread that looks every 2 s; `deliver_all` and `deliver` only leave a note for it."""

    def __init__(self, parts: HousekeepingParts) -> None:
        self._parts = parts
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._due: dict[str, Agent] = {}
        self._all_due = False
        self._epoch = -1
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop it and write what is still in memory."""
        self._stop.set()
        self._wake.set()
        self._thread.join(timeout=30.0)
        self._parts.flush()

    def deliver_all(self) -> None:
        """Publish every agent's keys soon (after a connection to the broker)."""
        with self._lock:
            self._all_due = True
        self._wake.set()

    def deliver(self, agents: Sequence[Agent]) -> None:
        """Publish these agents' keys soon (after their registration)."""
        with self._lock:
            self._due |= {agent.agent_id: agent for agent in agents}
        self._wake.set()

    def tick(self) -> None:
        """Do once what is due."""
        today = epoch_of_us(self._parts.now_us())
        if today != self._epoch:
            self._new_day(today)
        self._parts.cases.expire_due()
        self._publish_keys()
        self._parts.flush()
        self._parts.gallery.maintain()

    def _new_day(self, today: int) -> None:
        self._parts.keys.ensure_epochs()
        oldest = today - self._parts.retention_days
        destroyed = self._parts.keys.destroy_before(oldest)
        dropped = self._parts.gallery.purge_before(oldest)
        _LOG.info("event=new_day epoch=%d keys_destroyed=%d days_dropped=%d",
                  today, len(destroyed), dropped)  # fmt: skip
        self._epoch = today
        self.deliver_all()

    def _publish_keys(self) -> None:
        with self._lock:
            everybody, due = self._all_due, list(self._due.values())
            self._all_due = False
            self._due.clear()
        agents = list(self._parts.fleet.agents()) if everybody else due
        for number, delivery in enumerate(self._parts.keys.deliveries(agents), start=1):
            topic = agent_topic(delivery.agent_id, "keys")
            self._parts.publisher.publish(topic, sign(delivery, self._parts.signing), retain=True)
            if number % _KEYS_PER_BREATH == 0 and self._stop.wait(_BREATH_S):
                return

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            try:
                self.tick()
            except ControllerError as error:
                _LOG.error("event=housekeeping_failed error=%s", error)
            except Exception:  # noqa: BLE001 - the next round is needed
                _LOG.exception("event=housekeeping_failed")
            self._wake.wait(_EVERY_S)
