"""LanceDB: a table on disk, scanned without an index, or with RaBitQ codes and refined.

`python -m tests.bench.gallery.peers.lance_peer PHASE DATA HOME flat|rabitq [SETTING]`.
"""

# mypy: disable-error-code="import-not-found, import-untyped, no-any-return"

import importlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from tests.bench.gallery.peers.dataset import F32, Dataset, Rows
from tests.bench.gallery.peers.trial import SLACK, Setting, main_of

TABLE: Final = "sightings"
MARGIN: Final = 1.05
FACTORS: Final = (1, 2, 4, 8, 16)
"""Candidates of the codes over k, scored exactly."""


class LancePeer:
    """One table with row numbers and float32 vectors."""

    packages = ("lancedb", "pyarrow", "numpy")

    def __init__(self, variant: str) -> None:
        self._variant = variant
        self._arrow: Any = importlib.import_module("pyarrow")
        self._table: Any = None
        self._least = 1.0

    def begin(self, home: Path, dataset: Dataset) -> None:
        """Make the table."""
        pa = self._arrow
        self._schema = pa.schema(
            [("row", pa.int32()), ("vector", pa.list_(pa.float32(), dataset.floats.shape[1]))]
        )
        base = importlib.import_module("lancedb").connect(str(home))
        self._table = base.create_table(TABLE, schema=self._schema)

    def insert(self, first: int, block: F32) -> None:
        """Append the block: one version of the table."""
        pa = self._arrow
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(block.ravel()), block.shape[1])
        rows = pa.array(np.arange(first, first + len(block), dtype=np.int32))
        self._table.add(pa.Table.from_arrays([rows, vectors], schema=self._schema))

    def finish(self) -> None:
        """Join the versions' files; build the codes if this variant has them."""
        self._table.optimize()
        if self._variant == "rabitq":
            index = importlib.import_module("lancedb.index")
            self._table.create_index(
                "vector", config=index.IvfRq(distance_type="cosine", num_partitions=1)
            )

    def settings(self, dataset: Dataset) -> Sequence[Setting]:
        """Return k, and how many times k are refined."""
        k = min(dataset.facts.rows, math.ceil(dataset.longest * MARGIN))
        if self._variant == "flat":
            return [{"k": k}]
        return [{"k": k, "refine_factor": factor} for factor in FACTORS]

    def open(self, home: Path, dataset: Dataset) -> None:
        """Open the table."""
        self._table = importlib.import_module("lancedb").connect(str(home)).open_table(TABLE)
        self._least = dataset.facts.threshold - SLACK

    def search(self, probes: F32, setting: Setting) -> Sequence[Rows]:
        """Search all probes in one query."""
        query = self._table.search(list(probes), vector_column_name="vector")
        query = query.distance_type("cosine").limit(int(setting["k"])).select(["row", "_distance"])
        if "refine_factor" in setting:
            query = query.nprobes(1).refine_factor(int(setting["refine_factor"]))
        found = query.to_arrow()
        near = 1.0 - np.asarray(found["_distance"]) >= self._least
        rows, who = np.asarray(found["row"])[near], np.asarray(found["query_index"])[near]
        return [rows[who == probe].astype(np.int64) for probe in range(len(probes))]


if __name__ == "__main__":
    main_of(LancePeer)
