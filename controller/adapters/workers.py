"""Ingest workers: processes that receive, verify and validate; this one stores and acknowledges.

The signing key stays with the owner: one signature tells an agent of all its batches of a group,
whichever workers they came through, and no process that decodes what strangers send holds the key.
"""

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Final

from controller.adapters.workers_codec import (
    MAX_FRAME_BYTES,
    Condition,
    WorkerSpeechInvalid,
    decode_speech,
)
from controller.logs import facts
from controller.services.ingest_batches import Handed

log = logging.getLogger("controller.workers")
FIRST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 30.0
STEADY_S: Final = 60.0
"""A worker that lived this long is started again without the pauses of those before it."""
_STOP_S: Final = 5.0


class WorkerPool:
    """N worker processes, each started again when it ends; `hand` may wait, which holds it back."""

    def __init__(self, settings: list[bytes], hand: Callable[[Handed], None]) -> None:
        self._workers = [_Worker(n, one, hand) for n, one in enumerate(settings)]

    @property
    def size(self) -> int:
        """How many there should be."""
        return len(self._workers)

    @property
    def alive(self) -> int:
        """How many run and have the broker's connection."""
        return sum(worker.connected for worker in self._workers)

    @property
    def restarts_total(self) -> int:
        """How often one was started again, since this process started."""
        return sum(worker.restarts_total for worker in self._workers)

    def pids(self) -> list[int]:
        """Return the process ids of those that run."""
        return [pid for worker in self._workers if (pid := worker.pid) is not None]

    def start(self) -> None:
        """Start them all."""
        for worker in self._workers:
            worker.start()

    def stop(self) -> None:
        """End them all; what they have not settled the broker keeps."""
        for worker in self._workers:
            worker.ask_to_stop()
        for worker in self._workers:
            worker.join()


class _Worker:
    """One place in the pool: its process now, and the thread that listens to it."""

    def __init__(self, number: int, settings: bytes, hand: Callable[[Handed], None]) -> None:
        self._number, self._settings, self._hand = number, settings, hand
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name=f"worker-{number}", daemon=True)
        self.connected = False
        self.restarts_total = 0

    @property
    def pid(self) -> int | None:
        process = self._process
        return None if process is None else process.pid

    def start(self) -> None:
        self._thread.start()

    def ask_to_stop(self) -> None:
        self._stop.set()
        with self._lock:
            if self._process is not None:
                self._process.terminate()

    def join(self) -> None:
        self._thread.join(_STOP_S)
        with self._lock:
            if self._process is not None:
                self._process.kill()
        self._thread.join(_STOP_S)

    def _run(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._stop.is_set():
            began_s = time.monotonic()
            self._live_once()
            if self._stop.is_set():
                return
            self.restarts_total += 1
            pause_s = FIRST_PAUSE_S if time.monotonic() - began_s > STEADY_S else pause_s
            log.warning("worker ended", extra=facts(worker=self._number, again_in_s=pause_s))
            self._stop.wait(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _live_once(self) -> None:
        ours, theirs = Pipe()
        with self._lock:
            if self._stop.is_set():
                return
            self._process = process = subprocess.Popen(
                [sys.executable, "-m", "controller.adapters.workers_main", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        theirs.close()
        try:
            ours.send_bytes(self._settings)
            while True:
                self._hear(ours.recv_bytes(MAX_FRAME_BYTES), ours)
        except (EOFError, OSError, WorkerSpeechInvalid) as error:
            log.info("worker left", extra=facts(worker=self._number, why=type(error).__name__))
        finally:
            self.connected = False
            with self._lock:
                self._process = None
            if not self._stop.is_set():
                process.kill()
            process.wait()
            ours.close()

    def _hear(self, frame: bytes, ours: Connection) -> None:
        said = decode_speech(frame)
        if isinstance(said, Condition):
            self.connected = said.connected
        else:
            self._hand(Handed(said.outcomes, partial(_durable, ours, said.number)))


def _durable(ours: Connection, number: int) -> None:
    # Few and small (groups under way are bounded), so this never waits for a worker that hangs.
    # To one that is gone nothing need be said: the broker sends again what it had not settled.
    try:
        ours.send_bytes(number.to_bytes(8, "big"))
    except OSError as error:
        log.debug("worker gone", extra=facts(why=type(error).__name__))
