"""One ingest worker: `python -m controller.adapters.workers_main FD`; started by the owner only.

It puts itself together from few parts, so that it loads neither gallery nor API. It ends when the
owner ends or says so; what it has not settled by then the broker sends again.
"""

import logging
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection
from typing import Final

from controller.adapters.broker import Broker, connection
from controller.adapters.clock import SystemClock
from controller.adapters.records.engine import Database
from controller.adapters.records.fleet import SqlFleet
from controller.adapters.records.ingest import SqlDirectory
from controller.adapters.workers_codec import (
    MAX_GROUP_MESSAGES,
    MAX_GROUPS_UNDER_WAY,
    encode_condition,
    encode_handover,
)
from controller.adapters.workers_settings import SHARED_SIGHTINGS, WorkerSettings, read_settings
from controller.logs import facts, set_up
from controller.services.ingest_batches import Outcome
from controller.services.ingest_checks import Checker
from controller.services.ports import Clock, Delivery

log = logging.getLogger("controller.worker")
QUEUE_LIMIT: Final = 256
"""Messages received but not checked; when full the MQTT thread waits, and the broker with it."""
RETRY_S: Final = 1.0
_MAX_SETTINGS_BYTES: Final = 1024 * 1024
_LOOK_S: Final = 0.5


class Worker:
    """Receives, checks, hands over in groups, and settles each group at the owner's word."""

    def __init__(self, owner: Connection, checker: Checker, clock: Clock) -> None:
        self._owner, self._checker, self._clock = owner, checker, clock
        self._queue: queue.Queue[tuple[int, Delivery]] = queue.Queue(QUEUE_LIMIT)
        self._room = threading.BoundedSemaphore(MAX_GROUPS_UNDER_WAY)
        self._under_way: dict[int, Sequence[Delivery]] = {}
        self._sending = threading.Lock()
        self._handed_total = 0
        self._stop = threading.Event()

    def deliver(self, delivery: Delivery) -> None:
        """Take a message from the MQTT thread; waits while the queue is full."""
        received_us = self._clock.now_us()
        while not self._stop.is_set():
            try:
                self._queue.put((received_us, delivery), timeout=_LOOK_S)
                return
            except queue.Full:
                continue

    def tell_connection(self, connected: bool) -> None:
        """Tell the owner that the broker's connection was made or lost."""
        self._send(encode_condition(connected=connected))

    def stop(self) -> None:
        """Make `run` return soon."""
        self._stop.set()

    def run(self, failed: Callable[[], bool]) -> None:
        """Check and hand over until told to stop, the owner is gone, or `failed` says so."""
        threading.Thread(target=self._listen, name="owner", daemon=True).start()
        while not self._stop.is_set() and not failed():
            if not self._room.acquire(timeout=_LOOK_S):
                continue
            group = self._collect()
            if group:
                self._hand_over(group)
            else:
                self._room.release()

    def _listen(self) -> None:
        try:
            while True:
                number = int.from_bytes(self._owner.recv_bytes(8), "big")
                for delivery in self._under_way.pop(number):
                    delivery.settle()
                self._room.release()
        except (EOFError, OSError, KeyError):
            self._stop.set()

    def _collect(self) -> list[tuple[int, Delivery]]:
        found: list[tuple[int, Delivery]] = []
        try:
            found.append(self._queue.get(timeout=_LOOK_S))
            while len(found) < MAX_GROUP_MESSAGES:
                found.append(self._queue.get_nowait())
        except queue.Empty:
            pass
        return found

    def _hand_over(self, group: Sequence[tuple[int, Delivery]]) -> None:
        outcomes = self._check(group)
        if outcomes is not None:
            self._handed_total += 1
            self._under_way[self._handed_total] = [delivery for _, delivery in group]
            self._send(encode_handover(self._handed_total, outcomes))

    def _check(self, group: Sequence[tuple[int, Delivery]]) -> list[Outcome] | None:
        # Only the registry can fail here, and it comes back; until then nothing is settled.
        while not self._stop.is_set():
            try:
                return [
                    self._checker.check_batch(one.topic, one.payload, received_us)
                    for received_us, one in group
                ]
            except Exception:
                log.exception("checking failed, trying again", extra=facts(held=len(group)))
                self._stop.wait(RETRY_S)
        return None

    def _send(self, frame: bytes) -> None:
        try:
            with self._sending:
                self._owner.send_bytes(frame)
        except OSError:
            self._stop.set()


def main(owner: Connection) -> None:
    """Run one worker on the owner's socket."""
    settings = read_settings(owner.recv_bytes(_MAX_SETTINGS_BYTES))
    set_up(settings.log_level)
    # Ctrl-C reaches the whole process group; only the owner decides about workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    clock = SystemClock()
    database = Database(settings.records_dsn)
    checker = Checker(
        SqlDirectory(SqlFleet(database)), clock, spaces=settings.spaces,
        retention_days=settings.retention_days,
    )  # fmt: skip
    worker = Worker(owner, checker, clock)
    signal.signal(signal.SIGTERM, lambda *_: worker.stop())
    broker = _connected(settings, worker)
    worker.run(lambda: broker.fatal is not None)
    broker.stop()
    database.close()
    logging.shutdown()
    # The MQTT thread may still wait for room in the queue; nothing of it is needed any more.
    os._exit(0)


def _connected(settings: WorkerSettings, worker: Worker) -> Broker:
    broker = connection(
        settings.broker,
        client_id=settings.client_id,
        subscriptions=(SHARED_SIGHTINGS,),
        on_delivery=worker.deliver,
        on_connected=partial(worker.tell_connection, True),
        on_disconnected=partial(worker.tell_connection, False),
    )
    broker.connect()
    return broker


if __name__ == "__main__":
    main(Connection(int(sys.argv[1])))
