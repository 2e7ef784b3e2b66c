"""The search index: flat files made from the gallery's rows, so that a search scans and no more.

It is derived: ClickHouse holds the truth, and what a crash took from these files is read there
again. A checkpoint says up to which `stored_us` the files are complete and how many rows each
segment had then; opening cuts nothing and trusts nothing beyond it.
"""

import json
import os
import shutil
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from controller.adapters.gallery.segment import Segment, SegmentView, holds, sync_folder
from controller.services.ports import GalleryRow

FORMAT: Final = 2
_OPEN_SEGMENTS: Final = 128
"""Segments whose files stay open; more are closed and opened again when needed."""


@dataclass(frozen=True, slots=True, order=True)
class SegmentKey:
    """What all rows of a segment have in common."""

    epoch: int
    shard: int
    space_id: str


@dataclass(frozen=True, slots=True)
class Mark:
    """What a checkpoint will make durable."""

    watermark_us: int
    dirty: set[SegmentKey]
    rows: dict[SegmentKey, int]


class SearchIndex:
    """All segments under one folder; one writer, any number of readers."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._open: OrderedDict[SegmentKey, Segment] = OrderedDict()
        self._dirty: set[SegmentKey] = set()
        self._rows: dict[SegmentKey, int] = {}
        self.watermark_us = -1
        self._load()

    @property
    def rows_total(self) -> int:
        """How many sightings can be searched."""
        with self._lock:
            return sum(self._rows.values())

    def rows(self) -> dict[SegmentKey, int]:
        """Return the rows of each segment now."""
        with self._lock:
            return dict(self._rows)

    def append(self, rows: Sequence[GalleryRow]) -> None:
        """Add rows; all become searchable together, or none and the error says why (`OSError`)."""
        groups: dict[SegmentKey, list[GalleryRow]] = {}
        for row in rows:
            groups.setdefault(SegmentKey(row.epoch, row.shard, row.space_id), []).append(row)
        with self._lock:
            for key, group in groups.items():
                self._segment(key).append(group, self._rows.get(key, 0))
            for key, group in groups.items():
                self._rows[key] = self._rows.get(key, 0) + len(group)
                self._dirty.add(key)

    def view(self, key: SegmentKey) -> SegmentView | None:
        """Map a segment as it is now; None if it is gone or empty."""
        with self._lock:
            rows = self._rows.get(key, 0)
            return self._segment(key).view(rows) if rows else None

    def mark(self, watermark_us: int) -> Mark:
        """Note what is there now; the caller vouches that all rows up to the watermark are in."""
        with self._lock:
            dirty, self._dirty = self._dirty, set()
            return Mark(watermark_us, dirty, dict(self._rows))

    def checkpoint(self, mark: Mark) -> None:
        """Make a mark durable; appending goes on meanwhile."""
        try:
            for key in mark.dirty:
                sync_folder(self._folder(key))
            segments = [[k.epoch, k.shard, k.space_id, n] for k, n in mark.rows.items()]
            facts = {"format": FORMAT, "watermark_us": mark.watermark_us, "segments": segments}
            _replace(self._root / "index.json", json.dumps(facts))
        except OSError:
            with self._lock:
                self._dirty |= mark.dirty
            raise
        self.watermark_us = mark.watermark_us

    def drop_before(self, epoch: int) -> int:
        """Erase the segments of all epochs before this one; return how many rows went."""
        with self._lock:
            old = [key for key in self._rows if key.epoch < epoch]
            gone = sum(self._rows.pop(key) for key in old)
            for key in old:
                self._dirty.discard(key)
                if key in self._open:
                    self._open.pop(key).close()
            for folder in self._root.glob("*/*"):
                if folder.name.isdigit() and int(folder.name) < epoch:
                    shutil.rmtree(folder)
            return gone

    def clear(self) -> None:
        """Erase everything, before it is made anew."""
        with self._lock:
            self.close()
            shutil.rmtree(self._root)
            self._root.mkdir(parents=True)
            self._rows.clear()
            self.watermark_us = -1

    def disk_bytes(self) -> int:
        """Return the bytes that the files take on the disk."""
        return sum(f.stat().st_blocks * 512 for f in self._root.rglob("*") if f.is_file())

    def close(self) -> None:
        """Close the files."""
        with self._lock:
            for segment in self._open.values():
                segment.close()
            self._open.clear()
            self._dirty.clear()

    def _segment(self, key: SegmentKey) -> Segment:
        if key in self._open:
            self._open.move_to_end(key)
            return self._open[key]
        while len(self._open) >= _OPEN_SEGMENTS:
            _, oldest = self._open.popitem(last=False)
            oldest.close()
        self._open[key] = Segment(self._folder(key))
        return self._open[key]

    def _folder(self, key: SegmentKey) -> Path:
        return self._root / quote(key.space_id, safe="") / str(key.epoch) / str(key.shard)

    def _load(self) -> None:
        try:
            facts = json.loads((self._root / "index.json").read_text(encoding="utf-8"))
            rows = {SegmentKey(e, s, space): int(n) for e, s, space, n in facts["segments"]}
        except (OSError, ValueError, KeyError, TypeError):
            facts, rows = {}, {}
        if facts.get("format") != FORMAT or not all(
            holds(self._folder(key), count) for key, count in rows.items()
        ):
            self.clear()
            return
        self.watermark_us, self._rows = int(facts["watermark_us"]), rows


def _replace(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
