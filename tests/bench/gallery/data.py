"""Makes the data of the search benchmark: rows like a city's strangers, and the exact answers.

Strangers lie as in `strangers.Population` (a decaying spectrum: cosines of 0.137 around the mean)
around a small common mean, as real adapted embeddings do; a known share of the rows shows a probe
again, at cosines spread evenly around the threshold. A controller only ever has int8 templates, so
the float32 rows that peers get are those templates made unit vectors again.
"""

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Final

import numpy as np

from tests.bench.gallery.peers.dataset import (
    ANSWERS,
    BLOCK,
    F32,
    FACTS,
    FLOATS,
    I8,
    TEMPLATES,
    Dataset,
    Facts,
    Rows,
)
from tests.bench.gallery.strangers import Population, unit
from wire.protection import DIMENSION, dequantise, quantise

THRESHOLD: Final = 0.45
PROBES: Final = 10
GENUINE_SHARE: Final = 2e-4
GENUINE_RANGE: Final = (0.40, 0.60)
MEAN_COSINE: Final = 0.01
"""Of strangers: the squared length of the common mean."""


class City:
    """Draws blocks of rows; the same seed and block number give the same rows."""

    def __init__(self, seed: int, probes: int = PROBES, genuine_share: float = GENUINE_SHARE):
        self._seed, self._share = seed, genuine_share
        self._spread = Population.of(seed, 1).spread
        rng = np.random.default_rng([seed, 1])
        self._mean = unit(rng.standard_normal((1, DIMENSION)).astype(np.float32) @ self._spread)
        self.probes: F32 = self._strangers(rng, probes)

    def block(self, number: int, count: int) -> tuple[I8, Rows, Rows]:
        """Draw (count, 192) templates; also which of them show a probe again, and which probe."""
        rng = np.random.default_rng([self._seed, 2, number])
        rows = self._strangers(rng, count)
        genuine = np.flatnonzero(rng.random(count) < self._share)
        who = rng.integers(0, len(self.probes), len(genuine))
        cosines = rng.uniform(*GENUINE_RANGE, (len(genuine), 1)).astype(np.float32)
        rows[genuine] = _at_cosine(self.probes[who], rows[genuine], cosines)
        return quantise(rows), genuine, who

    def _strangers(self, rng: np.random.Generator, count: int) -> F32:
        raw = rng.standard_normal((count, DIMENSION), dtype=np.float32) @ self._spread
        return unit(raw * np.sqrt(1 - MEAN_COSINE) + self._mean * np.sqrt(MEAN_COSINE))


def make_dataset(folder: Path, rows: int, seed: int = 1, *, city: City | None = None) -> Dataset:
    """Write `rows` rows and their answers below a folder, or reuse what lies there alike.

    Takes 960 bytes of disk per row; `delete_dataset` gives them back.
    """
    drawn = city or City(seed)
    facts = Facts(rows, len(drawn.probes), THRESHOLD, drawn._share, seed)
    if _is_there(folder, facts):
        return Dataset.open(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FACTS).unlink(missing_ok=True)
    _write(folder, facts, drawn)
    # Written last: a run that was cut off leaves no facts, and so no data set.
    (folder / FACTS).write_text(json.dumps(asdict(facts)), encoding="utf-8")
    return Dataset.open(folder)


def delete_dataset(folder: Path) -> None:
    """Remove a data set and its folder."""
    shutil.rmtree(folder, ignore_errors=True)


def _is_there(folder: Path, facts: Facts) -> bool:
    try:
        return Dataset.open(folder).facts == facts
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _write(folder: Path, facts: Facts, city: City) -> None:
    shape = (facts.rows, DIMENSION)
    floats = np.lib.format.open_memmap(folder / FLOATS, "w+", np.float32, shape)
    templates = np.lib.format.open_memmap(folder / TEMPLATES, "w+", np.int8, shape)
    hits, planted = [], []
    for number, first in enumerate(range(0, facts.rows, BLOCK)):
        block = slice(first, min(first + BLOCK, facts.rows))
        templates[block], genuine, who = city.block(number, block.stop - first)
        floats[block] = dequantise(templates[block])
        above = floats[block] @ city.probes.T >= facts.threshold
        rows, probes = np.nonzero(above)
        hits.append(np.stack([probes, rows + first], axis=1))
        seen = above[genuine, who]
        planted.append(np.stack([who[seen], genuine[seen] + first], axis=1))
    floats.flush()
    templates.flush()
    answers, answer_ends = _by_probe(np.concatenate(hits), facts.probes)
    own, own_ends = _by_probe(np.concatenate(planted), facts.probes)
    np.savez(
        folder / ANSWERS, probes=city.probes, answers=answers, answers_ends=answer_ends,
        genuine=own, genuine_ends=own_ends,
    )  # fmt: skip


def _by_probe(pairs: Rows, probes: int) -> tuple[Rows, Rows]:
    """Return the rows of (n, 2) pairs (probe, row), probe after probe, and where each ends."""
    ordered = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    return ordered[:, 1], np.searchsorted(ordered[:, 0], np.arange(probes), side="right")


def _at_cosine(probes: F32, others: F32, cosines: F32) -> F32:
    """Turn unit vectors towards unit probes until they have the given cosines; all (n, ...)."""
    beside = unit(others - (others * probes).sum(1, keepdims=True) * probes)
    return np.asarray(cosines * probes + np.sqrt(1 - cosines**2) * beside, np.float32)
