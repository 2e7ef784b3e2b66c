"""The gallery: durable rows in ClickHouse, and beside them the flat files that a search scans.

An insert returns when its rows are durable and can be searched. A search reads the files only,
without ClickHouse and without its lock, so that neither waits for the other.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from controller.adapters.gallery.connect import search_folder
from controller.adapters.gallery.index import SearchIndex, SegmentKey
from controller.adapters.gallery.kernel import cosines, scan
from controller.adapters.gallery.records import DAY_US, uncertainty_s
from controller.adapters.gallery.segment import SegmentView
from controller.adapters.gallery.store import SightingStore
from controller.domain.prefilter import probe_codes
from controller.services.ports import (
    GalleryRow,
    GalleryScope,
    Segment,
    SegmentHits,
    SegmentSample,
)

_LOG: Final = logging.getLogger(__name__)
F32 = NDArray[np.float32]
RECENT_IDS: Final = 200_000
"""Ids of the newest rows, and as many of the newest at opening for the life of this process: a
batch that is sent again after a crash must not count twice. What was acknowledged is never sent
again, so more than a crash can leave open need not be kept."""
RECENT_US: Final = 600_000_000
COUNTED_ROWS: Final = 4_096
RUN_ROWS: Final = 128
CHECKPOINT_EVERY_S: Final = 300.0


def _system_us() -> int:
    return time.time_ns() // 1_000


class Gallery:
    """All sightings of the retention period, to be added, searched, counted and dropped."""

    def __init__(
        self, store: SightingStore, index: SearchIndex, now_us: Callable[[], int] = _system_us
    ) -> None:
        self._store, self._index, self._now_us = store, index, now_us
        self._insert_lock = threading.Lock()
        self._recent: OrderedDict[UUID, None] = OrderedDict()
        self._at_opening: frozenset[UUID] = frozenset()
        self._stored_us = -1
        self._checkpoint_due_s = time.monotonic() + CHECKPOINT_EVERY_S
        self._catch_up()

    @classmethod
    def open(
        cls, dsn: str, index_dir: Path | None = None, *, cluster: str | None = None,
        now_us: Callable[[], int] = _system_us,
    ) -> "Gallery":  # fmt: skip
        """Open `chdb:///path` or a ClickHouse DSN; raises `GalleryUnavailable`.

        `index_dir` defaults to a folder beside chDB's own; a server has no such default.
        """
        folder = index_dir or search_folder(dsn)
        store = SightingStore.open(dsn, cluster=cluster)
        return cls(store, SearchIndex(folder), now_us)

    @property
    def table(self) -> SightingStore:
        """The durable rows, for a backup."""
        return self._store

    def settled_us(self) -> int:
        """Return a time up to which every row that was stored is durable; -1 without rows."""
        with self._insert_lock:
            return self._stored_us

    def close(self) -> None:
        """Write a checkpoint and close."""
        with self._insert_lock:
            self._index.checkpoint(self._index.mark(self._stored_us))
            self._index.close()
        self._store.close()

    def insert(self, rows: Sequence[GalleryRow]) -> None:
        """Write rows durably and make them searchable; a repeated sighting stays one.

        Raises whatever the disk or the server says; nothing is half there then, and the same
        rows may be given again.
        """
        with self._insert_lock:
            fresh = {row.id: row for row in rows if not self._repeated(row.id)}
            if not fresh:
                return
            stored_us = max(self._now_us(), self._stored_us + 1)
            values = list(fresh.values())
            self._store.insert(values, stored_us=stored_us)
            self._index.append(values)
            self._stored_us = stored_us
            self._remember(fresh)

    def maintain(self) -> None:
        """Write a checkpoint of the search files if one is due; call it now and then."""
        if time.monotonic() < self._checkpoint_due_s:
            return
        self._checkpoint_due_s = time.monotonic() + CHECKPOINT_EVERY_S
        # Inserts wait for the mark alone: what is stored later is read again after a crash.
        with self._insert_lock:
            mark = self._index.mark(self._stored_us)
        self._index.checkpoint(mark)

    def count(self) -> int:
        """Return the number of different sightings that can be searched; costs nothing."""
        return self._index.rows_total

    def ids(self) -> set[UUID]:
        """Return the ids of all sightings (for verification at small scale)."""
        return set(self._store.ids())

    def sighting(
        self, sighting_id: UUID, *, first_epoch: int, last_epoch: int
    ) -> GalleryRow | None:
        """Return one sighting of these epochs, or None; seconds at city scale."""
        return self._store.sighting(sighting_id, first_epoch, last_epoch)

    def segments(self, scope: GalleryScope) -> list[Segment]:
        """Return what a scope holds, by epoch and shard, with the number of sightings.

        Of a large segment that is only partly inside, the number is an estimate from
        `COUNTED_ROWS` of its rows.
        """
        found = []
        for key, rows in sorted(self._index.rows().items()):
            if key.space_id == scope.space_id and _overlaps(key.epoch, scope):
                within = rows if _covers(key.epoch, scope) else self._count(key, scope)
                if within:
                    found.append(Segment(key.epoch, key.shard, key.space_id, within))
        return found

    def search(self, segment: Segment, probes: F32, min_similarity: F32) -> SegmentHits | None:
        """Return the sightings at or above `min_similarity` (p, 4: by mask state) of a probe.

        `probes` (p, 192) are rotated for this segment, at most 64. None if the segment is gone.
        """
        view = self._view(segment)
        if view is None:
            return None
        codes = probe_codes(probes, min_similarity.min(axis=1))
        rows, similarity = scan(
            view.blocks, view.rest, view.facts["state"], codes, probes, min_similarity
        )
        return _hits(view, segment.epoch, rows, similarity)

    def sample(self, segment: Segment, probes: F32, count: int) -> SegmentSample | None:
        """Return exact cosines of `count` rows drawn evenly over the segment, in short runs."""
        view = self._view(segment)
        if view is None:
            return None
        rows = _spread(len(view.facts), count)
        similarity = np.empty((len(rows), len(probes)), np.float32)
        cosines(view.blocks, view.rest, rows, np.ascontiguousarray(probes), similarity)
        return SegmentSample(similarity, _masks(view.facts[rows]))

    def purge_before(self, epoch: int) -> int:
        """Drop every epoch before this one with its disk space; return how many were dropped."""
        with self._insert_lock:
            self._index.drop_before(epoch)
            dropped = self._store.drop_before(epoch)
            self._index.checkpoint(self._index.mark(self._stored_us))
        return dropped

    def stats(self) -> dict[str, int]:
        """Return rows, epochs, segments and bytes on the disk."""
        rows = self._index.rows()
        return {
            "sightings": sum(rows.values()),
            "epochs": len({key.epoch for key in rows}),
            "first_epoch": min((key.epoch for key in rows), default=0),
            "last_epoch": max((key.epoch for key in rows), default=0),
            "segments": len(rows),
            "table_bytes": self._store.disk_bytes(),
            "search_bytes": self._index.disk_bytes(),
        }

    def verify(self) -> list[str]:
        """Compare the search files with the table; return one line per difference."""
        with self._insert_lock:
            durable, searchable = self._store.counts(), self._index.rows()
        mine = {(key.epoch, key.shard, key.space_id): n for key, n in searchable.items()}
        return [
            f"epoch {epoch} shard {shard} space {space}: {durable.get((epoch, shard, space), 0)} "
            f"durable, {mine.get((epoch, shard, space), 0)} searchable"
            for epoch, shard, space in sorted(durable.keys() | mine.keys())
            if durable.get((epoch, shard, space), 0) != mine.get((epoch, shard, space), 0)
        ]

    def rebuild(self) -> int:
        """Make the search files anew from the table; return the number of sightings."""
        with self._insert_lock:
            self._index.clear()
            self._read_after(-1)
            return self._index.rows_total

    def _catch_up(self) -> None:
        self._stored_us = self._store.last_stored_us()
        if self._stored_us > self._index.watermark_us:
            found = self._read_after(self._index.watermark_us)
            _LOG.info("event=search_files_caught_up rows=%d", found)
        recent = self._store.ids(stored_after_us=self._stored_us - RECENT_US, limit=RECENT_IDS)
        self._at_opening = frozenset(recent)

    def _read_after(self, watermark_us: int) -> int:
        found = 0
        for page in self._store.rows_after(watermark_us):
            self._index.append(page)
            found += len(page)
        self._index.checkpoint(self._index.mark(self._stored_us))
        return found

    def _remember(self, ids: Iterable[UUID]) -> None:
        for one in ids:
            self._recent[one] = None
        while len(self._recent) > RECENT_IDS:
            self._recent.popitem(last=False)

    def _repeated(self, sighting_id: UUID) -> bool:
        return sighting_id in self._recent or sighting_id in self._at_opening

    def _view(self, segment: Segment) -> SegmentView | None:
        return self._index.view(SegmentKey(segment.epoch, segment.shard, segment.space_id))

    def _count(self, key: SegmentKey, scope: GalleryScope) -> int:
        view = self._index.view(key)
        if view is None:
            return 0
        rows = _spread(len(view.facts), COUNTED_ROWS)
        share = _inside(view, view.facts[rows], key.epoch, scope).mean()
        return int(np.ceil(share * len(view.facts)))


def _spread(rows: int, count: int) -> NDArray[np.int64]:
    """Return about `count` of `rows` row numbers: short runs evenly apart, on few pages."""
    runs = -(-count // RUN_ROWS)
    if rows <= runs * RUN_ROWS:
        return np.arange(rows)
    starts = np.linspace(0, rows - RUN_ROWS, runs).astype(np.int64)
    return (starts[:, None] + np.arange(RUN_ROWS)).reshape(-1)


def _overlaps(epoch: int, scope: GalleryScope) -> bool:
    # A sighting belongs to the day it began in, so the day before may reach into the scope; and
    # a corrected clock may move one over midnight.
    return scope.start_us // DAY_US - 1 <= epoch <= scope.end_us // DAY_US + 1


def _covers(epoch: int, scope: GalleryScope) -> bool:
    inner = scope.start_us // DAY_US < epoch < scope.end_us // DAY_US
    return inner and scope.camera_ids is None


def _inside(
    view: SegmentView, facts: NDArray[np.void], epoch: int, scope: GalleryScope
) -> NDArray[np.bool_]:
    start_us, end_us = _times(facts, epoch)
    inside = (start_us <= scope.end_us) & (end_us >= scope.start_us)
    if scope.camera_ids is not None:
        wanted = set(scope.camera_ids)
        places = np.array([name in wanted for name in view.cameras], bool)
        inside &= places[facts["camera"]]
    return np.asarray(inside, bool)


def _times(facts: NDArray[np.void], epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    start_us = epoch * DAY_US + facts["start_ms"].astype(np.int64) * 1_000
    dwell_us = np.ceil(facts["dwell_s"].astype(np.float64) * 1e6).astype(np.int64)
    return start_us, start_us + dwell_us


def _hits(view: SegmentView, epoch: int, rows: NDArray[np.int64], similarity: F32) -> SegmentHits:
    facts = view.facts[rows]
    start_us, end_us = _times(facts, epoch)
    return SegmentHits(
        ids=facts["id"],
        cameras=view.cameras,
        camera=facts["camera"],
        variants=view.variants,
        variant=np.asarray(facts["state"] >> np.uint8(2), np.uint8),
        start_us=start_us,
        end_us=end_us,
        time_uncertainty_s=uncertainty_s(facts["uncertainty"]),
        masks=_masks(facts),
        quality=facts["quality"] / 255.0,
        similarity=similarity,
    )


def _masks(facts: NDArray[np.void]) -> NDArray[np.uint8]:
    return np.asarray(facts["state"] & np.uint8(3), np.uint8)
