"""What every participant of the search benchmark reads: rows, probes and the exact answers.

Only numpy and the standard library: peers import this inside their own environments.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

F32 = np.ndarray[Any, np.dtype[np.float32]]
I8 = np.ndarray[Any, np.dtype[np.int8]]
Rows = np.ndarray[Any, np.dtype[np.int64]]

FLOATS, TEMPLATES, ANSWERS, FACTS = "float32.npy", "int8.npy", "answers.npz", "facts.json"
BLOCK = 50_000
"""Rows in one block of generation, insertion and scanning: 38 MB of float32."""


@dataclass(frozen=True)
class Facts:
    """How a data set was made; one that was made otherwise is not used."""

    rows: int
    probes: int
    threshold: float
    genuine_share: float
    seed: int


@dataclass(frozen=True)
class Dataset:
    """An open data set; the big arrays stay on disk and are mapped.

    `floats` (n, 192) are unit vectors, the very ones that `templates` (n, 192) stand for; `probes`
    (p, 192) are unit vectors. `answers[i]` are the ascending numbers of the rows whose float32
    cosine to probe i is at least `facts.threshold`; `genuine[i]` those of them that were planted.
    """

    facts: Facts
    floats: F32
    templates: I8
    probes: F32
    answers: tuple[Rows, ...]
    genuine: tuple[Rows, ...]

    @classmethod
    def open(cls, folder: Path) -> "Dataset":
        """Map the data set in a folder; `OSError` or `ValueError` if it is not whole."""
        facts = Facts(**json.loads((folder / FACTS).read_text(encoding="utf-8")))
        with np.load(folder / ANSWERS) as kept:
            answers, genuine = (_parts(kept[n], kept[f"{n}_ends"]) for n in ("answers", "genuine"))
            probes = kept["probes"]
        return cls(
            facts, np.load(folder / FLOATS, mmap_mode="r"),
            np.load(folder / TEMPLATES, mmap_mode="r"), probes, answers, genuine,
        )  # fmt: skip

    def blocks(self) -> Iterator[F32]:
        """Yield the float32 rows in order, at most `BLOCK` at a time, read from disk."""
        for first in range(0, self.facts.rows, BLOCK):
            yield np.ascontiguousarray(self.floats[first : first + BLOCK])

    @property
    def longest(self) -> int:
        """Return how many rows the probe with the most answers has, at least one."""
        return max(1, *(len(rows) for rows in self.answers))


def share_found(wanted: Sequence[Rows], found: Sequence[Rows]) -> float:
    """Return the share of the wanted (probe, row) pairs that was found, 0..1; 1 if none is."""
    total = sum(len(rows) for rows in wanted)
    hits = sum(len(np.intersect1d(w, f)) for w, f in zip(wanted, found, strict=True))
    return hits / total if total else 1.0


def rescored(
    dataset: Dataset, probes: F32, candidates: Sequence[Rows], threshold: float
) -> list[Rows]:
    """Keep the candidates whose exact cosine is high enough; for peers that only guess it.

    Reads the int8 templates of the candidates, as a client beside the peer would.
    """
    kept = []
    for probe, rows in zip(probes, candidates, strict=True):
        vectors = dataset.templates[np.sort(rows)].astype(np.float32)
        cosines = vectors @ probe / np.maximum(np.linalg.norm(vectors, axis=1), 1e-6)
        kept.append(np.sort(rows)[cosines >= threshold - 1e-6])
    return kept


def _parts(joined: Rows, ends: Rows) -> tuple[Rows, ...]:
    return tuple(np.split(joined, ends[:-1]))
