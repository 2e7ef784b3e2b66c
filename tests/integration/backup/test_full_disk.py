"""A disk that is really full: each test in a child process with a small tmpfs of its own."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]


def on_small_disk(what: str, folder: Path, size_mb: int) -> dict[str, Any]:
    """Run a job of full_disk.py on a new disk; the kernel takes the disk away with the child."""
    disk, other = folder / "disk", folder / "other"
    disk.mkdir()
    other.mkdir()
    space = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "-r", "--mount"]
    mount = f"mount -t tmpfs -o size={size_mb}m,mode=700 tmpfs {disk}"
    if subprocess.run([*space, "sh", "-c", mount], capture_output=True, check=False).returncode:
        why = "NOT TESTED: a full disk; no tmpfs can be mounted here, run it as root"
        warnings.warn(why, stacklevel=2)
        pytest.skip(why)
    child = f'{mount} && exec "$0" -m tests.integration.backup.full_disk {what} {disk} {other}'
    done = subprocess.run(
        [*space, "sh", "-c", child, sys.executable],
        capture_output=True, text=True, timeout=240, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("full", ["table", "search"])
def test_an_insert_into_a_full_disk_fails_whole_and_succeeds_once_there_is_room(
    full: str, tmp_path: Path
) -> None:
    facts = on_small_disk(full, tmp_path, 96)
    stored = facts["full"]["stored"]
    assert facts["error"]
    assert facts["again"] == [True] * 3
    # While it is full, everything that was stored is there and can be searched.
    assert facts["full"] == {"stored": stored, "count": stored, "searchable": stored}
    total = stored + 2_500
    assert facts["after"] == {"count": total, "ids": total, "differ": []}
    assert facts["later"] == {"count": total, "differ": []}


def test_below_the_floor_ingest_holds_back_says_so_once_and_goes_on_by_itself(
    tmp_path: Path,
) -> None:
    facts = on_small_disk("floor", tmp_path, 160)
    held = facts["held"]
    assert (held["acked"], held["settled"], held["sightings"]) == (1, [1], 8)
    assert (held["held"], held["free_below_floor"], held["agents"]) == (1, True, 1)
    (line,) = held["lines"]
    assert "below the floor" in line
    assert (facts["settled"], facts["sightings"], facts["after_held"]) == ([1, 2, 3, 4], 32, 0)
    assert facts["differ"] == []


def test_full_to_the_brim_nothing_is_acknowledged_and_the_controller_answers(
    tmp_path: Path,
) -> None:
    facts = on_small_disk("brim", tmp_path, 160)
    held = facts["held"]
    assert (held["acked"], held["settled"], held["sightings"]) == (1, [1], 8)
    assert held["agents"] == 1
    assert (facts["settled"], facts["sightings"]) == ([1, 2, 3, 4], 32)
    assert facts["differ"] == []


def test_retention_gives_the_disk_back(tmp_path: Path) -> None:
    facts = on_small_disk("purge", tmp_path, 160)
    assert facts["share"] < 0.65
    assert (facts["count"], facts["differ"]) == (20_000, [])


def test_a_backup_that_finds_no_room_leaves_the_last_one_whole(tmp_path: Path) -> None:
    facts = on_small_disk("backup", tmp_path, 64)
    assert facts["fault"].startswith("DIR: cannot write ")
    assert (facts["kept"], facts["whole"]) == (True, [])
    assert (facts["rows"], facts["faults"]) == (45_000, [])
