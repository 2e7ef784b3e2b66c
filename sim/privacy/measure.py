"""How well two score distributions can be told apart: D_sys, and the area under the ROC curve.

D_sys is the global unlinkability measure of Gomez-Barrero, Galbally, Rathgeb and Busch ("General
framework to evaluate unlinkability in biometric template protection systems", IEEE TIFS 13, 2018):
0 if a score says nothing about whether two templates are of one person, 1 if it says everything.
Their local measure is D(s) = 2 w LR(s) / (1 + w LR(s)) - 1 where w LR(s) > 1, else 0, with LR(s)
the ratio of the densities of mated and non-mated scores and w the ratio of the priors, here 1.
D_sys is its mean over mated scores.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

MAX_BINS: Final = 50
MATED_PER_BIN: Final = 200
"""Bins of equal width: as many as leave this many mated scores to each, at most `MAX_BINS`."""
PSEUDO_COUNT: Final = 0.5
"""Added to each bin of both histograms, so that an empty bin is doubt and not certainty."""
SHUFFLES: Final = 10
PRIOR_RATIO: Final = 1.0

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Linkability:
    """D_sys, what it would be by chance (mean and 95 % quantile of shuffled labels), and AUC."""

    d_sys: float
    chance: float
    chance_95: float
    auc: float
    auc_low: float
    auc_high: float
    mated: int
    non_mated: int


def d_sys(mated: NDArray[np.floating], non_mated: NDArray[np.floating]) -> float:
    """Return D_sys of scores (n,) and (m,); raises `ValueError` if there are too few."""
    edges = _edges(np.concatenate([mated, non_mated]), len(mated))
    of_mated, of_others = _density(mated, edges), _density(non_mated, edges)
    ratio = PRIOR_RATIO * of_mated / of_others
    local = np.where(ratio > 1.0, 2.0 * ratio / (1.0 + ratio) - 1.0, 0.0)
    return float((local * of_mated).sum())


def auc(mated: NDArray[np.floating], non_mated: NDArray[np.floating]) -> tuple[float, float, float]:
    """Return the chance that a mated score is the higher one, and its 95 % confidence interval.

    The interval is Hanley and McNeil's (Radiology 143, 1982).
    """
    n, m = len(mated), len(non_mated)
    ranks = rankdata(np.concatenate([mated, non_mated]))[:n]
    area = float((ranks.sum() - n * (n + 1) / 2) / (n * m))
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (n - 1) * (q1 - area**2) + (m - 1) * (q2 - area**2)
    half = 1.96 * float(np.sqrt(max(variance, 0.0) / (n * m)))
    return area, area - half, area + half


def linkability(
    mated: NDArray[np.floating], non_mated: NDArray[np.floating], rng: np.random.Generator
) -> Linkability:
    """Measure scores (n,) and (m,), beside the same measure with the labels shuffled."""
    together = np.concatenate([mated, non_mated])
    by_chance = []
    for _ in range(SHUFFLES):
        rng.shuffle(together)
        by_chance.append(d_sys(together[: len(mated)], together[len(mated) :]))
    area, low, high = auc(mated, non_mated)
    return Linkability(
        d_sys(mated, non_mated), float(np.mean(by_chance)), float(np.quantile(by_chance, 0.95)),
        area, low, high, len(mated), len(non_mated),
    )  # fmt: skip


def _edges(scores: NDArray[np.floating], mated: int) -> F64:
    bins = min(MAX_BINS, mated // MATED_PER_BIN)
    if bins < 2:
        raise ValueError(f"mated: {mated} scores, {2 * MATED_PER_BIN} are needed")
    # The outermost scores would stretch the bins; the two end bins hold all that lies beyond.
    low, high = np.quantile(scores, (0.001, 0.999))
    inner = np.linspace(low, high, bins + 1)[1:-1]
    return np.concatenate([[-np.inf], inner, [np.inf]])


def _density(scores: NDArray[np.floating], edges: F64) -> F64:
    counts = np.histogram(scores, edges)[0] + PSEUDO_COUNT
    return np.asarray(counts / counts.sum(), np.float64)
