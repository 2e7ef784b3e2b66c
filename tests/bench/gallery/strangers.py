"""Rows like those of a city: strangers as far apart as real ones, and a few faces of the probes.

Directions vary as much in some dimensions as in others they do not: a decaying spectrum of which
about 53 dimensions count gives cosines of 0.00 +/- 0.137, the spread measured on real faces.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
EFFECTIVE_DIMENSIONS = 53
GENUINE_SHARE = 2e-5
GENUINE_MEAN, GENUINE_SD = 0.6, 0.12


@dataclass(frozen=True)
class Population:
    """Draws rows; `probes` (p, 192) are drawn from the same people."""

    spread: F32
    probes: F32

    @classmethod
    def of(cls, seed: int, probes: int) -> "Population":
        """Make a population."""
        rng = np.random.default_rng(seed)
        spectrum = np.exp(-np.arange(192) / (EFFECTIVE_DIMENSIONS / 2))
        basis, _ = np.linalg.qr(rng.standard_normal((192, 192)))
        spread = (np.sqrt(spectrum / spectrum.sum())[:, None] * basis.T).astype(np.float32)
        return cls(spread, unit(rng.standard_normal((probes, 192)).astype(np.float32) @ spread))

    def rows(self, rng: np.random.Generator, count: int, matrix: F32) -> F32:
        """Draw (count, 192) unit rows, rotated by `matrix`; few of them are a probe's own."""
        raw = rng.standard_normal((count, 192), dtype=np.float32)
        own = np.flatnonzero(rng.random(count) < GENUINE_SHARE)
        rows = unit(raw @ (self.spread @ matrix.T))
        if len(own):
            who = rng.integers(0, len(self.probes), len(own))
            cosine = np.clip(rng.normal(GENUINE_MEAN, GENUINE_SD, len(own)), 0.2, 0.95)
            probe = self.probes[who] @ matrix.T
            other = unit(rows[own] - (rows[own] * probe).sum(1, keepdims=True) * probe)
            mixed = cosine[:, None] * probe + np.sqrt(1 - cosine[:, None] ** 2) * other
            rows[own] = mixed.astype(np.float32)
        return rows


def unit(vectors: F32) -> F32:
    """Scale rows to length one."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32)
