"""The drill of docs/operations.md with real processes: back up, lose the machine, restore."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.backup.town import PASSPHRASE, ROOT
from tests.integration.controller.test_command_line import (
    PASSWORD,
    SIGHTLINE,
    Desk,
    free_port,
    one_line,
    wait_until_it_answers,
)

_FILL = """
import sys, time
from controller.adapters.gallery import Gallery
from tests.integration.backup.full_disk import row
gallery = Gallery.open("chdb://" + sys.argv[1] + "/gallery")
today = int(time.time()) // 86_400
gallery.insert([row(i, today) for i in range(int(sys.argv[2]))])
gallery.close()
"""
ASKED = PASSPHRASE + "\n"


def fill(data_dir: Path, count: int) -> None:
    words = [sys.executable, "-c", _FILL, str(data_dir), str(count)]
    subprocess.run(words, check=True, timeout=60, cwd=ROOT)


@contextmanager
def running(desk: Desk, data_dir: Path) -> Iterator[None]:
    process = subprocess.Popen(
        [*SIGHTLINE, "controller", "run", "--data-dir", str(data_dir)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        wait_until_it_answers(desk.port, process)
        yield
        process.send_signal(signal.SIGTERM)
        assert process.wait(40) == 0
    finally:
        process.kill()
        process.wait()


def sightings(desk: Desk) -> int:
    return int(json.loads(desk("gallery", "stats", "--json").stdout)["sightings"])


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    made = Desk(tmp_path, free_port())
    words = ("--api-port", str(made.port), "--broker-port", str(free_port()))
    assert made("controller", "init", "--data-dir", str(made.data_dir), *words).returncode == 0
    add = ("user", "add", "sam", "--role", "administrator", "--data-dir", str(made.data_dir))
    assert made(*add, "--password-stdin", stdin=PASSWORD + "\n").returncode == 0
    return made


@pytest.mark.slow
def test_a_machine_is_lost_and_comes_back(desk: Desk, tmp_path: Path) -> None:
    backups, new = str(tmp_path / "backups"), tmp_path / "new"
    fill(desk.data_dir, 3_000)
    with running(desk, desk.data_dir):
        desk.log_in("sam")
        done = desk("backup", "create", backups, "--passphrase-stdin", stdin=ASKED)
        assert done.returncode == 0, done.stderr
        recipient = done.stdout.split("--recipient ")[1].strip()
        again = desk("backup", "create", backups, "--recipient", recipient)
        assert again.returncode == 0, again.stderr
    listed = json.loads(desk("backup", "list", backups, "--json").stdout)["backups"]
    assert [one["rows"] for one in listed] == [3_000, 3_000]
    assert listed[1]["new_bytes"] < listed[0]["new_bytes"] / 10
    assert "3,000" in desk("backup", "list", backups).stdout
    assert desk("backup", "verify", backups).stdout.startswith("2 backups, ")

    shutil.rmtree(desk.data_dir)
    words = ("restore", backups, "--data-dir", str(new), "--passphrase-stdin")
    done = desk(*words, stdin=ASKED)
    assert done.returncode == 0, done.stderr
    assert "3,000 sightings" in done.stdout
    assert one_line(desk(*words, stdin=ASKED)).startswith("--data-dir: ")
    with running(desk, new):
        desk.log_in("sam")
        assert sightings(desk) == 3_000
        assert desk("gallery", "verify").stdout.strip() == "table and search files agree"
        # What the restored records go on to hold is not what the old folder goes on from.
        refused = desk("backup", "create", backups, "--recipient", recipient)
        assert one_line(refused).startswith("DIR: holds backups of other records")


@pytest.mark.slow
def test_without_a_running_controller(desk: Desk, tmp_path: Path) -> None:
    backups, data = str(tmp_path / "backups"), str(desk.data_dir)
    with running(desk, desk.data_dir):
        words = ("backup", "create", backups, "--data-dir", data, "--passphrase-stdin")
        assert "another controller" in one_line(desk(*words, stdin=ASKED))
    assert desk(*words, stdin=ASKED).returncode == 0
    assert one_line(desk(*words, stdin="another passphrase\n")).startswith("passphrase: ")
    assert one_line(desk(*words, stdin="short\n")).startswith("passphrase: give at least")
    (path,) = (tmp_path / "backups" / "records").iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    done = desk("backup", "verify", backups)
    assert f"records/{path.name}: is not what was written" in done.stdout
    assert one_line(done).startswith("DIR: 1 of ")
    restore = ("restore", backups, "--data-dir", str(tmp_path / "new"), "--passphrase-stdin")
    assert "nothing was restored" in one_line(desk(*restore, stdin=ASKED))
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_a_killed_backup_is_gone_on_with(desk: Desk, tmp_path: Path) -> None:
    backups, data = tmp_path / "backups", str(desk.data_dir)
    with running(desk, desk.data_dir):
        pass  # it makes the days' keys
    fill(desk.data_dir, 120_000)
    words = [*SIGHTLINE, "backup", "create", str(backups), "--data-dir", data, "--passphrase-stdin"]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdin is not None
    process.stdin.write(ASKED)
    process.stdin.close()
    until = time.monotonic() + 60
    while not list(backups.glob("gallery/**/*.part")) and time.monotonic() < until:
        time.sleep(0.001)
    process.kill()
    process.wait()
    assert list(backups.glob("gallery/**/*.part"))
    assert not list(backups.glob("manifests/*.json"))
    done = desk(*words[len(SIGHTLINE) :], stdin=ASKED)
    assert done.returncode == 0, done.stderr
    assert not list(backups.glob("**/*.part"))
    assert desk("backup", "verify", str(backups)).returncode == 0
