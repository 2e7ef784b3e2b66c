"""Ours: the gallery as the controller runs it, filled through ClickHouse, searched by ten cases.

`python -m tests.bench.gallery.peers.ours_peer PHASE DATA HOME gallery [SETTING]`. The
data set's templates stand for protected ones, as they lie in a random frame: what a rotation costs
is in `ours.py`, and templates that are quantised a second time would not be what peers search.
"""

from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import numpy as np

from controller.adapters.blas import one_thread_each
from controller.adapters.gallery import Gallery
from controller.services.ports import GalleryRow, GalleryScope
from tests.bench.gallery.peers.dataset import F32, Dataset, Rows
from tests.bench.gallery.peers.trial import Setting, main_of
from tests.bench.gallery.rows import FIRST_EPOCH
from tests.bench.gallery.searching import SPACE, TableKeys, search_each
from wire.protection import DIMENSION
from wire.times import EPOCH_US

ROWS_PER_SEGMENT = 500_000
ROWS_PER_INSERT = 5_000
CAMERAS = 256


class PlainKeys(TableKeys):
    """Keys that turn nothing."""

    def matrix(self, epoch: int, shard: int) -> F32:
        """Return the identity."""
        return np.eye(DIMENSION, dtype=np.float32)


class OursPeer:
    """One gallery of one day."""

    packages = ("chdb", "numba", "numpy")

    def __init__(self, _variant: str) -> None:
        one_thread_each()
        self._keys = PlainKeys()
        self._threshold = 1.0

    def begin(self, home: Path, dataset: Dataset) -> None:
        """Make the gallery."""
        self._templates = dataset.templates
        self._gallery = Gallery.open(f"chdb://{home / 'gallery'}")

    def insert(self, first: int, block: F32) -> None:
        """Protect and insert; durable and searchable on return."""
        for at in range(0, len(block), ROWS_PER_INSERT):
            part = block[at : at + ROWS_PER_INSERT]
            templates = self._templates[first + at : first + at + len(part)]
            self._gallery.insert(
                [_row(first + at + i, one.tobytes()) for i, one in enumerate(templates)]
            )

    def finish(self) -> None:
        """Write the checkpoint and close."""
        self._gallery.close()

    def settings(self, dataset: Dataset) -> Sequence[Setting]:
        """Return the only one there is: limits follow from the threshold."""
        return ({},)

    def open(self, home: Path, dataset: Dataset) -> None:
        """Open the gallery."""
        self._gallery = Gallery.open(f"chdb://{home / 'gallery'}")
        self._threshold = dataset.facts.threshold

    def search(self, probes: F32, setting: Setting) -> Sequence[Rows]:
        """Search one case per probe in one scan."""
        scope = GalleryScope(FIRST_EPOCH * EPOCH_US, (FIRST_EPOCH + 1) * EPOCH_US, SPACE)
        found = search_each(self._gallery, self._keys, probes, self._threshold, scope)
        low = [ids.view(np.uint8).reshape(-1, 16)[:, 8:].copy().view(">u8")[:, 0] for ids in found]
        return [np.asarray(rows, np.int64) for rows in low]


def _row(number: int, template: bytes) -> GalleryRow:
    shard = number // ROWS_PER_SEGMENT
    start_us = FIRST_EPOCH * EPOCH_US + number * 20_000 % (EPOCH_US - 20_000_000)
    return GalleryRow(
        id=UUID(int=(7 << 76) | number), agent_id=f"box-{shard}", epoch=FIRST_EPOCH, shard=shard,
        camera_id=f"cam-{shard}-{number % CAMERAS}", start_us=start_us,
        end_us=start_us + 5_000_000, time_uncertainty_s=0.01, space_id=SPACE, variant="float",
        template=template, mask_state="unmasked", mask_probability=0.05, quality=0.8,
        face_count=1,
    )  # fmt: skip


if __name__ == "__main__":
    main_of(OursPeer)
