"""Child processes of the demo: each in a group of its own, each with a log, none left behind."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sim.errors import SimError

_STOP_TIMEOUT_S: Final = 15.0
_TAIL_BYTES: Final = 4_096
# Eight processes share two cores: more than one thread each only makes them wait for each other.
_ONE_THREAD: Final = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONUNBUFFERED": "1",
    "COLUMNS": "200",
    "NO_COLOR": "1",
}


@dataclass(slots=True)
class Child:
    """A long-running process, the leader of its own process group."""

    name: str
    process: subprocess.Popen[bytes]
    log_path: Path

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.poll() is None

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to the whole group; a group that is gone is fine."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)

    def last_line(self) -> str:
        """Return the last non-empty line of its log."""
        with self.log_path.open("rb") as log:
            log.seek(max(0, self.log_path.stat().st_size - _TAIL_BYTES))
            lines = log.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "nothing logged"


@dataclass
class Processes:
    """Starts, watches, stops and kills the demo's processes; at most one of each name runs."""

    log_dir: Path
    _children: dict[str, Child] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, name: str, argv: Sequence[str], env: Mapping[str, str] | None = None) -> Child:
        """Start a process that runs until it is stopped; its output goes to `<name>.log`."""
        self.log_dir.mkdir(parents=True, exist_ok=True)
        log_path = self.log_dir / f"{name}.log"
        with self._lock:
            if name in self._children and self._children[name].running:
                raise SimError(f"process: {name} already runs; stop it first")
            with log_path.open("ab") as log:
                process = subprocess.Popen(
                    list(argv),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={**os.environ, **_ONE_THREAD, **(env or {})},
                    start_new_session=True,
                )
            self._children[name] = Child(name, process, log_path)
            return self._children[name]

    def check(self, names: Sequence[str] | None = None) -> None:
        """Raise `SimError` with its last words if one of them has ended by itself."""
        for name, child in self._children.items():
            if (names is None or name in names) and not child.running:
                code = child.process.returncode
                raise SimError(
                    f"process: {name} ended with code {code}: {child.last_line()} "
                    f"(all of it in {child.log_path})"
                )

    def kill(self, name: str) -> None:
        """kill -9 the process and all it started."""
        child = self._children.pop(name)
        child.signal_group(signal.SIGKILL)
        child.process.wait()

    def stop(self, name: str) -> int:
        """Ask with SIGTERM, wait, kill the rest of its group; return its exit code."""
        child = self._children.pop(name)
        child.signal_group(signal.SIGTERM)
        return _reap(child, time.monotonic() + _STOP_TIMEOUT_S)

    def stop_all(self) -> None:
        """Stop everything that still runs, latest first, all waiting at the same time."""
        children = list(reversed(self._children.values()))
        self._children.clear()
        for child in children:
            child.signal_group(signal.SIGTERM)
        deadline_s = time.monotonic() + _STOP_TIMEOUT_S
        for child in children:
            _reap(child, deadline_s)


def run_command(
    argv: Sequence[str], *, stdin: str | bytes = b"", env: Mapping[str, str] | None = None,
    timeout_s: float = 120.0,
) -> str:  # fmt: skip
    """Run a short command and return its stdout; `SimError` with its last line if it fails."""
    given = stdin.encode() if isinstance(stdin, str) else stdin
    process = subprocess.Popen(
        list(argv),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **_ONE_THREAD, **(env or {})},
        start_new_session=True,
    )
    try:
        raw_out, raw_errors = process.communicate(given, timeout=timeout_s)
    except BaseException:
        # Also on Ctrl-C: the command is in its own group and would outlive us.
        _reap(Child(argv[0], process, Path(os.devnull)), 0.0)
        raise
    out, errors = raw_out.decode(errors="replace"), raw_errors.decode(errors="replace")
    if process.returncode != 0:
        words = (errors.strip() or out.strip() or "nothing said").splitlines()[-1]
        raise SimError(f"command: {_name(argv)} ended with {process.returncode}: {words}")
    return out


def _reap(child: Child, deadline_s: float) -> int:
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.process.wait(max(0.0, deadline_s - time.monotonic()))
    child.signal_group(signal.SIGKILL)
    return child.process.wait()


def _name(argv: Sequence[str]) -> str:
    words = [Path(argv[0]).name, *argv[1:4]]
    return " ".join(words)
