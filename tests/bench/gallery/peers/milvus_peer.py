"""Milvus Lite: a collection in a local file, flat, searched by range.

`python -m tests.bench.gallery.peers.milvus_peer PHASE DATA HOME flat [SETTING]`.
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

FILE: Final = "milvus.db"
COLLECTION: Final = "sightings"
ROWS_AT_ONCE: Final = 10_000
MOST: Final = 16_384
"""Milvus returns no more rows a probe."""


class MilvusPeer:
    """One collection with a flat index."""

    packages = ("pymilvus", "milvus-lite", "numpy")

    def __init__(self, _variant: str) -> None:
        self._milvus: Any = importlib.import_module("pymilvus")
        self._client: Any = None
        self._least = 1.0

    def begin(self, home: Path, dataset: Dataset) -> None:
        """Make the collection."""
        kinds = self._milvus.DataType
        self._client = self._milvus.MilvusClient(str(home / FILE))
        schema = self._client.create_schema(auto_id=False)
        schema.add_field("row", kinds.INT64, is_primary=True)
        schema.add_field("vector", kinds.FLOAT_VECTOR, dim=dataset.floats.shape[1])
        index = self._client.prepare_index_params()
        index.add_index("vector", index_type="FLAT", metric_type="COSINE")
        self._client.create_collection(COLLECTION, schema=schema, index_params=index)

    def insert(self, first: int, block: F32) -> None:
        """Insert the block in requests that gRPC takes."""
        for at in range(0, len(block), ROWS_AT_ONCE):
            part = block[at : at + ROWS_AT_ONCE]
            rows = [{"row": first + at + i, "vector": vector} for i, vector in enumerate(part)]
            self._client.insert(COLLECTION, rows)

    def finish(self) -> None:
        """Write what is in memory and close."""
        self._client.flush(COLLECTION)
        self._client.close()

    def settings(self, dataset: Dataset) -> Sequence[Setting]:
        """Return how many rows a probe may get."""
        return [{"k": min(MOST, dataset.facts.rows, math.ceil(dataset.longest * 1.05))}]

    def open(self, home: Path, dataset: Dataset) -> None:
        """Open the file and load the collection."""
        self._client = self._milvus.MilvusClient(str(home / FILE))
        self._client.load_collection(COLLECTION)
        self._least = dataset.facts.threshold - SLACK

    def search(self, probes: F32, setting: Setting) -> Sequence[Rows]:
        """Search all probes in one request."""
        found = self._client.search(
            COLLECTION, data=list(probes), limit=int(setting["k"]), anns_field="vector",
            search_params={"metric_type": "COSINE", "params": {"radius": self._least}},
        )  # fmt: skip
        return [np.array([one["row"] for one in hits], np.int64) for hits in found]


if __name__ == "__main__":
    main_of(MilvusPeer)
