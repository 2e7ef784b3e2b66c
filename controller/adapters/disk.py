"""Room on the disks: ingest holds back before ClickHouse or SQLite break."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from controller.config import Config
from controller.errors import ControllerError
from controller.services.ports import GalleryRow, GalleryWriter

_MB: Final = 1 << 20
_LOCAL: Final = "chdb://"


class DiskLow(ControllerError):
    """A disk has less room than the floor; nothing is stored until it has more."""


@dataclass(frozen=True, slots=True)
class Room:
    """What one disk has for us, and its floor."""

    path: Path
    free_bytes: int
    floor_bytes: int

    @property
    def low(self) -> bool:
        """Whether it is below its floor."""
        return self.free_bytes < self.floor_bytes


class DiskFloor:
    """Watches the disks under some folders; asking costs a system call each.

    The floor is `min_free_bytes` or `min_free_share` of the disk, whichever is less.
    """

    def __init__(
        self, folders: Sequence[Path], min_free_bytes: int, min_free_share: float,
        usage: Callable[[Path], os.statvfs_result] = os.statvfs,
    ) -> None:  # fmt: skip
        self._folders, self._usage = folders, usage
        self._bytes, self._share = min_free_bytes, min_free_share

    def tightest(self) -> Room:
        """Return the disk that is nearest to its floor, or furthest below it."""
        return min(map(self._room, self._folders), key=lambda r: r.free_bytes - r.floor_bytes)

    def _room(self, folder: Path) -> Room:
        while not folder.exists():
            folder = folder.parent
        disk = self._usage(folder)
        floor = min(self._bytes, int(self._share * disk.f_blocks * disk.f_frsize))
        return Room(folder, disk.f_bavail * disk.f_frsize, floor)


class GuardedGallery:
    """A gallery that takes nothing while a disk is below its floor."""

    def __init__(self, gallery: GalleryWriter, floor: DiskFloor) -> None:
        self._gallery, self._floor = gallery, floor

    def insert(self, rows: Sequence[GalleryRow]) -> None:
        """Write rows durably; raises `DiskLow` before anything is written."""
        room = self._floor.tightest()
        if room.low:
            raise DiskLow(
                f"disk: {room.free_bytes // _MB} MB free under {room.path}, below the floor of "
                f"{room.floor_bytes // _MB} MB (disk.min_free_mb); ingest holds back, agents keep "
                "what they have; make room"
            )
        self._gallery.insert(rows)


def disk_floor(config: Config) -> DiskFloor:
    """Return the floor of the disks that a configuration uses."""
    folders = [config.data_dir, config.search_dir]
    if config.gallery_dsn.startswith(_LOCAL):
        folders.append(Path(config.gallery_dsn.removeprefix(_LOCAL)))
    disk = config.disk
    return DiskFloor(folders, int(disk.min_free_mb * _MB), disk.min_free_percent / 100)
