"""`sightline` as people use it: real processes, one controller, the real enroller."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest

from tests.integration.controller.world import PASSWORD, Device

SIGHTLINE = (sys.executable, "-m", "controller.cli")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Desk:
    """The command line of one person at one controller."""

    folder: Path
    port: int
    token: str = ""

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    def __call__(self, *words: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        environment = {
            **os.environ,
            "SIGHTLINE_URL": f"http://127.0.0.1:{self.port}",
            "SIGHTLINE_TOKEN": self.token,
            "COLUMNS": "200",
        }
        return subprocess.run(
            [*SIGHTLINE, *words], input=stdin, capture_output=True, text=True, env=environment,
            timeout=120, check=False,
        )  # fmt: skip

    def log_in(self, name: str) -> None:
        done = self("login", name, "--password-stdin", "--print", stdin=PASSWORD + "\n")
        assert done.returncode == 0, done.stderr
        self.token = done.stdout.strip()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path, free_port())
    # No broker listens there: the controller says so and goes on trying.
    done = made(
        "controller", "init", "--data-dir", str(made.data_dir), "--api-port", str(made.port),
        "--broker-port", str(free_port()),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for name, role in (("ivy", "investigator"), ("noor", "approver"), ("tom", "technician")):
        words = ("user", "add", name, "--role", role, "--data-dir", str(made.data_dir))
        added = made(*words, "--password-stdin", stdin=PASSWORD + "\n")
        assert added.returncode == 0, added.stderr
    log = (tmp_path / "log").open("wb")
    process = subprocess.Popen(
        [*SIGHTLINE, "controller", "run", "--data-dir", str(made.data_dir)],
        stdout=log, stderr=log, start_new_session=True,
    )  # fmt: skip
    try:
        wait_until_it_answers(made.port, process)
        yield made
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        log.close()


def wait_until_it_answers(port: int, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(300):
        assert process.poll() is None
        try:
            if httpx.get(f"http://127.0.0.1:{port}/v1/healthz").status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.2)
    raise AssertionError("no answer")


def one_line(done: "subprocess.CompletedProcess[str]") -> str:
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    return lines[0].removeprefix("error: ")


def case_words(photo: Path) -> list[str]:
    now = datetime.now(UTC)
    return [
        "case", "open", "--photo", str(photo), "--label", "c1", "--legal-basis", "exercise",
        "--onset", now.date().isoformat(), "--from", (now - timedelta(days=1)).isoformat(),
        "--to", now.isoformat(), "--expires", (now + timedelta(hours=2)).isoformat(),
    ]  # fmt: skip


@pytest.mark.slow
def test_a_day_at_the_command_line(desk: Desk, tmp_path: Path) -> None:
    assert one_line(desk("fleet", "list")) == "token: is missing; run `sightline login`"
    assert one_line(desk("login", "ivy", "--password-stdin", stdin="no\n")).startswith("password:")

    desk.log_in("tom")
    fleet = tmp_path / "fleet.json"
    good = Device("box-1", "cam-1").row()
    fleet.write_text(json.dumps([good, {**good, "x_m": "far"}]))
    done = desk("fleet", "add", "--file", str(fleet))
    assert one_line(done).startswith("fleet: line 2: ")
    assert "line 2: x_m: " in done.stderr
    fleet.write_text(json.dumps([good]))
    assert desk("fleet", "add", "--file", str(fleet)).returncode == 0
    assert re.search(r"box-1\W+cam-1", desk("fleet", "list").stdout)

    desk.log_in("ivy")
    empty, broken = tmp_path / "empty.png", tmp_path / "broken.jpg"
    cv2.imwrite(str(empty), np.full((240, 320, 3), 127, np.uint8))
    broken.write_bytes(b"not a picture")
    for photo in (empty, broken, tmp_path / "missing.jpg"):
        assert one_line(desk(*case_words(photo))).startswith("photo: ")
    unknown = desk(*case_words(empty), "--camera", "cam-77")
    assert one_line(unknown).startswith("camera_ids: camera 'cam-77' is not registered")
    assert json.loads(desk("case", "status", "--json").stdout) == {"cases": []}


@pytest.mark.parametrize(
    ("words", "start"),
    [
        (["controller", "run"], "--config: "),
        (["controller", "run", "--config", "/nonexistent.toml"], "config: cannot read"),
        (["fleet", "list"], "SIGHTLINE_URL: no answer"),
        (["fleet", "add", "--file", "/nonexistent.json"], "file: cannot read"),
    ],
)
def test_what_cannot_be_done_is_one_line(tmp_path: Path, words: list[str], start: str) -> None:
    assert one_line(Desk(tmp_path, free_port(), "token")(*words)).startswith(start)


def test_a_password_that_is_too_short_adds_nobody(tmp_path: Path) -> None:
    desk = Desk(tmp_path, 1)
    data = str(desk.data_dir)
    assert desk("controller", "init", "--data-dir", data).returncode == 0
    words = ("user", "add", "ivy", "--role", "approver", "--data-dir", data, "--password-stdin")
    assert one_line(desk(*words, stdin="short\n")).startswith("password: use 12 to 256")
    assert one_line(desk(*words[:4], "king", *words[5:], stdin=PASSWORD)).startswith("role: use")
    assert desk(*words, stdin=PASSWORD).returncode == 0
    assert one_line(desk(*words, stdin=PASSWORD)).startswith("name: ivy exists")
    assert one_line(desk("controller", "init", "--data-dir", data)).startswith("data_dir: ")
