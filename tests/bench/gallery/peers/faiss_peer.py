"""FAISS, flat: SQ8; PQ fast scan and RaBitQ fast scan, both refined by SQ8.

`python -m tests.bench.gallery.peers.faiss_peer PHASE DATA HOME sq8|pq|pq_half|rabitq [SETTING]`.
Top-k search, as the fast scans have no range search and that of SQ8 is some ten times slower.
"""

# mypy: disable-error-code="import-not-found, import-untyped, no-any-return"

import importlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from tests.bench.gallery.peers.dataset import F32, Dataset, Rows
from tests.bench.gallery.peers.trial import SLACK, THREADS, Setting, main_of

FILE: Final = "index.faiss"
TRAINED_ON: Final = 100_000
MARGINS: Final = (1.05, 1.2, 1.5)
FACTORS: Final = (1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32)
"""k over the largest number of answers, and candidates of the first look over k."""


PQ_PARTS: Final = {"pq": 192, "pq_half": 96}


class FaissPeer:
    """One flat index, in memory while it is used."""

    packages = ("faiss-cpu", "numpy")

    def __init__(self, variant: str) -> None:
        self._faiss: Any = importlib.import_module("faiss")
        self._faiss.omp_set_num_threads(THREADS)
        self._variant = variant
        self._index: Any = None
        self._home = Path()
        self._least = 1.0

    def begin(self, home: Path, dataset: Dataset) -> None:
        """Train on the first rows, which are as mixed as all others."""
        self._home = home
        self._index = self._empty(dataset.floats.shape[1])
        self._index.train(np.array(dataset.floats[:TRAINED_ON]))

    def insert(self, first: int, block: F32) -> None:
        """Encode the block."""
        self._index.add(block)

    def finish(self) -> None:
        """Write the index to disk."""
        self._faiss.write_index(self._index, str(self._home / FILE))

    def settings(self, dataset: Dataset) -> Sequence[Setting]:
        """Return k, and how many times k are refined."""
        if self._variant == "sq8":
            return [{"k": _times(dataset, margin)} for margin in MARGINS]
        return [{"k": _times(dataset, MARGINS[0]), "k_factor": factor} for factor in FACTORS]

    def open(self, home: Path, dataset: Dataset) -> None:
        """Read the index from disk into memory."""
        self._index = self._faiss.read_index(str(home / FILE))
        self._least = dataset.facts.threshold - SLACK

    def search(self, probes: F32, setting: Setting) -> Sequence[Rows]:
        """Search all probes in one call."""
        params = None
        if "k_factor" in setting:
            params = self._faiss.IndexRefineSearchParameters(k_factor=float(setting["k_factor"]))
        cosines, rows = self._index.search(probes, int(setting["k"]), params=params)
        return [r[c >= self._least] for c, r in zip(cosines, rows, strict=True)]

    def _empty(self, dimension: int) -> Any:
        faiss, inner = self._faiss, self._faiss.METRIC_INNER_PRODUCT
        sq8 = faiss.IndexScalarQuantizer(dimension, faiss.ScalarQuantizer.QT_8bit, inner)
        if self._variant == "sq8":
            return sq8
        if self._variant in PQ_PARTS:
            first = faiss.IndexPQFastScan(dimension, PQ_PARTS[self._variant], 4, inner)
        else:
            first = faiss.IndexRaBitQFastScan(dimension, inner)
        # The refining index only borrows the two others; Python must keep them alive.
        self._parts = (first, sq8)
        return faiss.IndexRefine(first, sq8)


def _times(dataset: Dataset, margin: float) -> int:
    return min(dataset.facts.rows, math.ceil(dataset.longest * margin))


if __name__ == "__main__":
    main_of(FaissPeer)
