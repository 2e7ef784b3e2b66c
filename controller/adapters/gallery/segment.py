"""One segment of the search index: the sightings of one space, epoch and shard, append-only.

Three files grow together: `planes` (blocks of 1,024 rows' bit planes, word by word), `rest` (144
bytes a row, see packing.py) and `facts` (27 bytes a row); `names.json` lists cameras and
variants. Appending writes with `pwrite`, so that a full disk is an error and not a signal;
searching maps what the index's word `rows` covers, so that a search and an append never wait for
each other.
"""

import json
import math
import mmap
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from controller.adapters.gallery.kernel import BLOCK
from controller.adapters.gallery.packing import DIMENSION, PLANES, REST_BYTES, pack
from controller.adapters.gallery.records import FACTS, MAX_VARIANTS, facts_of
from controller.domain.prefilter import WORDS
from controller.services.ports import GalleryRow

_BLOCK_WORDS: Final = PLANES * WORDS
_BLOCK_BYTES: Final = _BLOCK_WORDS * BLOCK * 8
_FILES: Final = ("planes", "rest", "facts")
_OTHER_VARIANT: Final = "other"


@dataclass(frozen=True, slots=True)
class SegmentView:
    """The first `rows` rows of a segment, mapped for reading."""

    blocks: NDArray[np.uint64]
    rest: NDArray[np.uint8]
    facts: NDArray[np.void]
    cameras: tuple[str, ...]
    variants: tuple[str, ...]


class Segment:
    """The files of one segment; the caller serialises appends and remembers the row count."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        names = folder / "names.json"
        known = json.loads(names.read_text(encoding="utf-8")) if names.exists() else {}
        self._cameras: list[str] = known.get("cameras", [])
        self._variants: list[str] = known.get("variants", [])
        self._names_written = self._names_count()
        self._camera_places = {name: i for i, name in enumerate(self._cameras)}
        self._files = [os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o600) for name in _FILES]

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            os.close(file)
        self._files = []

    def append(self, rows: Sequence[GalleryRow], at: int) -> None:
        """Write rows from row number `at` on; raises `OSError` if the disk will not take them."""
        cameras = np.array([self._camera(row.camera_id) for row in rows], np.uint16)
        variants = np.array([self._variant(row.variant) for row in rows], np.uint8)
        self._write_names()
        raw = b"".join(row.template for row in rows)
        templates = np.frombuffer(raw, np.int8).reshape(len(rows), DIMENSION)
        planes, rest = pack(templates)
        planes_file, rest_file, facts_file = self._files
        _write(rest_file, rest.tobytes(), at * REST_BYTES)
        _write(facts_file, facts_of(rows, cameras, variants).tobytes(), at * FACTS.itemsize)
        self._write_planes(planes_file, planes.reshape(len(rows), _BLOCK_WORDS), at)

    def _write_planes(self, file: int, planes: NDArray[np.uint64], at: int) -> None:
        done = 0
        while done < len(planes):
            block, lane = divmod(at + done, BLOCK)
            take = min(BLOCK - lane, len(planes) - done)
            if lane == 0:
                os.ftruncate(file, (block + 1) * _BLOCK_BYTES)
            for word in range(_BLOCK_WORDS):
                offset = block * _BLOCK_BYTES + (word * BLOCK + lane) * 8
                _write(file, planes[done : done + take, word].tobytes(), offset)
            done += take

    def view(self, rows: int) -> SegmentView:
        """Map the first `rows` rows (at least 1)."""
        blocks = -(-rows // BLOCK)
        path = self._folder
        return SegmentView(
            blocks=_map(path / "planes", np.dtype("<u8"), (blocks, PLANES, WORDS, BLOCK)),
            rest=_map(path / "rest", np.dtype(np.uint8), (rows, REST_BYTES)),
            facts=_map(path / "facts", FACTS, (rows,)),
            cameras=tuple(self._cameras),
            variants=tuple(self._variants),
        )

    def _camera(self, name: str) -> int:
        if name not in self._camera_places:
            self._camera_places[name] = len(self._cameras)
            self._cameras.append(name)
        return self._camera_places[name]

    def _variant(self, name: str) -> int:
        if name not in self._variants:
            if len(self._variants) >= MAX_VARIANTS - 1:
                name = _OTHER_VARIANT
            if name not in self._variants:
                self._variants.append(name)
        return self._variants.index(name)

    def _names_count(self) -> int:
        return len(self._cameras) + len(self._variants)

    def _write_names(self) -> None:
        if self._names_count() == self._names_written:
            return
        fresh = self._folder / "names.new"
        text = json.dumps({"cameras": self._cameras, "variants": self._variants})
        with fresh.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._folder / "names.json")
        self._names_written = self._names_count()


def sync_folder(folder: Path) -> None:
    """Make what a segment holds survive a crash of the machine; nothing if it was dropped."""
    for name in _FILES:
        try:
            file = os.open(folder / name, os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            os.fsync(file)
        finally:
            os.close(file)


def holds(folder: Path, rows: int) -> bool:
    """Tell whether a segment's files are there and long enough for this many rows."""
    needed = (-(-rows // BLOCK) * _BLOCK_BYTES, rows * REST_BYTES, rows * FACTS.itemsize)
    paths = [folder / name for name in _FILES]
    return (folder / "names.json").exists() and all(
        path.exists() and path.stat().st_size >= size
        for path, size in zip(paths, needed, strict=True)
    )


def _write(file: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, offset)
        view, offset = view[written:], offset + written


def _map(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    # A plain array over the map: numba does not know the memmap subclass. All planes are read,
    # of the other files a few places.
    with path.open("rb") as file:
        length = dtype.itemsize * math.prod(shape)
        mapped = mmap.mmap(file.fileno(), length, mmap.MAP_SHARED, mmap.PROT_READ)
    if path.name == _FILES[0]:
        mapped.madvise(mmap.MADV_WILLNEED)
    return np.frombuffer(mapped, dtype).reshape(shape)
