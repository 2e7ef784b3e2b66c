"""NumPy: float32 rows in one file, multiplied block by block (sgemm). Exact; nothing to tune.

`python -m tests.bench.gallery.peers.numpy_peer PHASE DATA HOME float32 [SETTING]`.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.bench.gallery.peers.dataset import BLOCK, F32, Dataset, Rows
from tests.bench.gallery.peers.trial import Setting, main_of

FILE = "rows.npy"


class NumpyPeer:
    """A matrix, mapped from its file."""

    packages = ("numpy",)

    def __init__(self) -> None:
        self._rows: F32 = np.empty((0, 0), np.float32)
        self._threshold = 1.0

    def begin(self, home: Path, dataset: Dataset) -> None:
        """Reserve the file."""
        shape = dataset.floats.shape
        self._rows = np.lib.format.open_memmap(home / FILE, "w+", np.float32, shape)

    def insert(self, first: int, block: F32) -> None:
        """Copy the block to its place."""
        self._rows[first : first + len(block)] = block

    def finish(self) -> None:
        """Write what the kernel still holds."""
        assert isinstance(self._rows, np.memmap)
        self._rows.flush()

    def settings(self, dataset: Dataset) -> Sequence[Setting]:
        """Return the only one there is."""
        return ({},)

    def open(self, home: Path, dataset: Dataset) -> None:
        """Map the file."""
        self._rows = np.load(home / FILE, mmap_mode="r")
        self._threshold = dataset.facts.threshold

    def search(self, probes: F32, setting: Setting) -> Sequence[Rows]:
        """Multiply all blocks with all probes."""
        rows, who = [], []
        for first in range(0, len(self._rows), BLOCK):
            row, probe = np.nonzero(self._rows[first : first + BLOCK] @ probes.T >= self._threshold)
            rows.append(row + first)
            who.append(probe)
        all_rows, all_who = np.concatenate(rows), np.concatenate(who)
        return [all_rows[all_who == probe] for probe in range(len(probes))]


if __name__ == "__main__":
    main_of(lambda _variant: NumpyPeer())
