"""The gallery's rows as Parquet: per day and shard, and of a later backup only what is new.

A page at a time leaves ClickHouse; compressing and writing happen outside its lock, so that an
insert waits for one page at most.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from controller.adapters.backup.folder import BackupFolder
from controller.adapters.backup.manifest import GALLERY, BackupError, BackupStopped, File
from controller.adapters.gallery.store import PAGE_ROWS, SightingStore

Shard = tuple[int, int]
_COMPRESSION: Final = "zstd"


class RowsCopier:
    """Copies what a folder does not have yet."""

    def __init__(
        self, store: SightingStore, folder: BackupFolder, stopped: Callable[[], bool],
        pause: Callable[[], None],
    ) -> None:  # fmt: skip
        self._store, self._folder = store, folder
        self._stopped, self._pause = stopped, pause

    def copy(
        self, epoch: int, tag: str, settled_us: int, known: dict[Shard, list[File]]
    ) -> list[File]:
        """Return all files of an epoch under the key `tag`, the new ones written and noted.

        Every row stored up to `settled_us` is in them. `known` are the files that are there.
        """
        files = []
        for shard, newest_us in sorted(self._store.shards(epoch).items()):
            mine = [file for file in known.get((epoch, shard), []) if file.tag == tag]
            after_us = max((file.until_us for file in mine), default=-1)
            files += mine
            if newest_us > after_us:
                made = self._copy(epoch, shard, tag, after_us, settled_us)
                files += [made] if made is not None else []
        return files

    def _copy(
        self, epoch: int, shard: int, tag: str, after_us: int, settled_us: int
    ) -> File | None:
        # No upper bound: a row may be replaced by a newer version of itself while this runs, and
        # the next backup takes again what was stored after `settled_us`.
        pages = self._store.arrow_pages(epoch, shard, after_us)
        first = next(pages, None)
        if first is None:
            return None
        path = f"{GALLERY}/{epoch}-{tag}/{shard}-{after_us}-{settled_us}.parquet"
        rows = 0

        def write(part: Path) -> None:
            nonlocal rows
            with pq.ParquetWriter(part, first.schema, compression=_COMPRESSION) as writer:
                for page in self._watched(first, pages):
                    writer.write_table(page)
                    rows += page.num_rows

        digest, size = self._folder.write(path, write)
        file = File(path, GALLERY, digest, size, epoch=epoch, shard=shard, until_us=settled_us,
                    rows=rows, tag=tag)  # fmt: skip
        self._folder.note(file)
        return file

    def _watched(self, first: Any, pages: Iterator[Any]) -> Iterator[Any]:
        yield first
        while True:
            if self._stopped():
                raise BackupStopped("backup: stopped; run it again to go on from here")
            self._pause()
            page = next(pages, None)
            if page is None:
                return
            yield page


def restore(
    store: SightingStore, root: Path, files: Iterable[File], tell: Callable[[int], None]
) -> int:
    """Write gallery files into an empty gallery; return the number of different sightings.

    Raises `BackupError` if a shard does not hold then what its files hold.
    """
    groups: dict[Shard, list[File]] = {}
    for file in files:
        groups.setdefault((file.epoch or 0, file.shard or 0), []).append(file)
    total = 0
    for (epoch, shard), group in sorted(groups.items()):
        ids: set[bytes] = set()
        for file in sorted(group, key=lambda one: one.until_us):
            for page in _pages(root / file.path):
                store.insert_arrow(page)
                ids.update(_ids(page))
            tell(file.size)
        found = store.different(epoch, shard)
        if found != len(ids):
            raise BackupError(f"gallery: epoch {epoch} shard {shard} has {found} of {len(ids)}")
        total += found
    return total


def _pages(path: Path) -> Iterator[Any]:
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(PAGE_ROWS):
                yield pa.Table.from_batches([batch])
    except pa.ArrowInvalid as error:
        raise BackupError(f"{path.name}: is no Parquet ({error})") from None


def _ids(page: Any) -> list[bytes]:
    column = page.column("id").combine_chunks()
    storage = getattr(column, "storage", column)
    return [bytes(one) for one in storage.to_pylist()]
