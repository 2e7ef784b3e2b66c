"""The floor below which ingest holds back."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from controller.adapters.disk import DiskFloor, DiskLow, GuardedGallery

MB = 1 << 20


class Taken:
    """A gallery that counts."""

    def __init__(self) -> None:
        self.inserts = 0

    def insert(self, rows: Sequence[Any]) -> None:
        self.inserts += 1


class Disks:
    """Two disks whose room is set by hand, in MB."""

    def __init__(self, **sizes: tuple[int, int]) -> None:
        self.sizes = sizes

    def usage(self, path: Path) -> Any:
        free, size = self.sizes[path.name]
        return SimpleNamespace(f_bavail=free, f_blocks=size, f_frsize=MB)


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    made = [tmp_path / "data", tmp_path / "search"]
    for one in made:
        one.mkdir()
    return made


def test_the_tighter_disk_counts_and_the_lesser_floor(folders: list[Path]) -> None:
    disks = Disks(data=(5_000, 100_000), search=(900, 20_000))
    room = DiskFloor(folders, 1_024 * MB, 0.02, disks.usage).tightest()
    # 2 % of the small disk are 400 MB, of the large one more than the 1,024 MB.
    assert (room.path.name, room.floor_bytes, room.low) == ("search", 400 * MB, False)
    disks.sizes["data"] = (1_023, 100_000)
    room = DiskFloor(folders, 1_024 * MB, 0.02, disks.usage).tightest()
    assert (room.path.name, room.floor_bytes, room.low) == ("data", 1_024 * MB, True)


def test_nothing_is_written_below_the_floor(folders: list[Path]) -> None:
    disks = Disks(data=(99, 10_000), search=(9_000, 10_000))
    taken = Taken()
    gallery = GuardedGallery(taken, DiskFloor(folders, 100 * MB, 0.5, disks.usage))
    with pytest.raises(DiskLow, match=r"disk: 99 MB free under .*data, below the floor of 100 MB"):
        gallery.insert([])
    assert taken.inserts == 0
    disks.sizes["data"] = (100, 10_000)
    gallery.insert([])
    assert taken.inserts == 1


def test_a_folder_that_is_not_there_yet_counts_as_its_parent(folders: list[Path]) -> None:
    disks = Disks(data=(1, 10), search=(1, 10))
    floor = DiskFloor([folders[0] / "gallery" / "new"], 100 * MB, 0.5, disks.usage)
    assert floor.tightest().path == folders[0]
