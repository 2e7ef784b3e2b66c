"""Whatever the demo starts ends with it, and says why when it ends by itself."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from sim.demo.processes import Processes, run_command
from sim.errors import SimError

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    "print(child.pid, flush=True)\n"
    "time.sleep(60)",
]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/status").read_text()
    return "State:\tZ" not in status


def test_stop_all_ends_every_process_and_what_it_started(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    child = processes.start("stubborn", STUBBORN)
    processes.start("sleeper", SLEEPER)
    deadline = time.monotonic() + 10
    while child.last_line() == "nothing logged" and time.monotonic() < deadline:
        time.sleep(0.05)
    grandchild = int(child.last_line())
    processes.stop_all()
    time.sleep(0.1)
    assert not child.running
    assert not alive(grandchild)


def test_a_process_that_died_is_named_with_its_last_words(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    child = processes.start(
        "short", [sys.executable, "-c", "print('no disk'); raise SystemExit(3)"]
    )
    child.process.wait(10)
    with pytest.raises(SimError, match="short ended with code 3: no disk"):
        processes.check()


def test_a_killed_process_may_be_started_again(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    first = processes.start("sleeper", SLEEPER)
    processes.kill("sleeper")
    assert first.process.returncode == -signal.SIGKILL
    assert processes.start("sleeper", SLEEPER).running
    processes.stop_all()


def test_one_name_runs_once(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    processes.start("sleeper", SLEEPER)
    with pytest.raises(SimError, match="already runs"):
        processes.start("sleeper", SLEEPER)
    processes.stop_all()


def test_a_failed_command_gives_its_last_line(tmp_path: Path) -> None:
    with pytest.raises(SimError, match="ended with 2: bad photo"):
        run_command(
            [sys.executable, "-c", "import sys; print('bad photo', file=sys.stderr); sys.exit(2)"]
        )
    assert run_command([sys.executable, "-c", "print(input())"], stdin="hello") == "hello\n"
