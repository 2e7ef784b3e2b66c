"""The parent's side of the load processes: started, told what to do, listened to, never left."""

import contextlib
import json
import os
import selectors
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from typing import Final

from sim.errors import SimError
from sim.load.settings import LoadSettings, to_line
from sim.load.tally import Report

_READ_BYTES: Final = 65_536
_LINE_BYTES: Final = 1 << 20
_END_TIMEOUT_S: Final = 30.0


class _Hand:
    """One process with the unfinished line of its output."""

    def __init__(self, settings: LoadSettings) -> None:
        self.name: Final = f"boxes {settings.fleet.first} and on"
        self.report: Report | None = None
        self.rest = b""
        self.ended = False
        self.process: Final = subprocess.Popen(
            [sys.executable, "-m", "sim.load.process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # In a group of its own, so that Ctrl-C reaches the parent only, which drains first.
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        self.write(to_line(settings))

    def write(self, line: bytes) -> None:
        """Write to the process; one that has ended is told of by its exit code."""
        with contextlib.suppress(BrokenPipeError):
            if self.process.stdin is not None:
                self.process.stdin.write(line)
                self.process.stdin.flush()


class Crew:
    """Several load processes, each with its share of the boxes."""

    def __init__(self, settings: LoadSettings, processes: int) -> None:
        self._selector = selectors.DefaultSelector()
        self._hands: list[_Hand] = []
        try:
            for share in shares(settings, processes):
                hand = _Hand(share)
                self._hands.append(hand)
                self._selector.register(_output(hand), selectors.EVENT_READ, hand)
        except BaseException:
            self.kill()
            raise

    @property
    def reports(self) -> list[Report] | None:
        """The latest report of every process; None until all have spoken."""
        found = [hand.report for hand in self._hands if hand.report is not None]
        return found if len(found) == len(self._hands) else None

    def tell(self, word: str) -> None:
        """Send `go`, `measure`, `drain` or `close` to every process."""
        for hand in self._hands:
            hand.write(word.encode() + b"\n")

    def listen(self, wait_s: float) -> list[Report]:
        """Wait at most `wait_s`, return the reports that came; `SimError` if a process failed."""
        new: list[Report] = []
        for key, _ in self._selector.select(wait_s):
            hand: _Hand = key.data
            data = os.read(key.fd, _READ_BYTES)
            if not data:
                self._ended(hand)
                continue
            *lines, hand.rest = (hand.rest + data).split(b"\n")
            if len(hand.rest) > _LINE_BYTES:
                raise SimError(f"load process: {hand.name} wrote a line without an end")
            new += [self._read(hand, line) for line in lines if line]
        return new

    def finish(self) -> None:
        """Close all connections, and wait until every process has given its last report."""
        self.tell("close")
        deadline_s = time.monotonic() + _END_TIMEOUT_S
        while not all(hand.ended for hand in self._hands) and time.monotonic() < deadline_s:
            self.listen(0.2)

    def kill(self) -> None:
        """End every process that still runs."""
        for hand in self._hands:
            if hand.process.poll() is None:
                hand.process.kill()
            hand.process.wait()
            for pipe in (hand.process.stdin, hand.process.stdout):
                with contextlib.suppress(OSError):
                    if pipe is not None:
                        pipe.close()
        self._hands.clear()

    def _read(self, hand: _Hand, line: bytes) -> Report:
        value = json.loads(line)
        if "error" in value:
            raise SimError(str(value["error"]))
        hand.report = Report.from_json(value)
        return hand.report

    def _ended(self, hand: _Hand) -> None:
        self._selector.unregister(_output(hand))
        hand.ended = True
        code = hand.process.wait()
        if code:
            raise SimError(f"load process: {hand.name} ended with code {code}; see above")


def shares(settings: LoadSettings, processes: int) -> list[LoadSettings]:
    """Divide a load over processes: neighbours stay together, for they share template keys."""
    count = settings.fleet.count
    processes = min(processes, count)
    bounds = [count * place // processes for place in range(processes + 1)]
    return [
        replace(
            settings,
            fleet=replace(settings.fleet, first=settings.fleet.first + start, count=end - start),
            total=count,
            connect_per_s=settings.connect_per_s / processes,
        )
        for start, end in pairwise(bounds)
    ]


def _output(hand: _Hand) -> int:
    if hand.process.stdout is None:
        raise SimError(f"load process: {hand.name} has no output")
    return hand.process.stdout.fileno()
