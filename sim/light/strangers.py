"""Strangers for light agents: embeddings drawn from a cohort's mean and covariance."""

import zipfile
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sim.errors import SimError
from wire.messages import MaskState
from wire.protection import DIMENSION
from wire.times import to_us

F32 = NDArray[np.float32]

_KEYS: Final = ("cohort_mean", "cohort_cov")
_MASKED_SHARE: Final = 0.3


@dataclass(frozen=True, slots=True)
class Cohort:
    """A Gaussian of adapted embeddings: mean (192,), factor F (192, 192) with F F' = cov."""

    mean: F32
    factor: F32

    def draw(self, rng: np.random.Generator, count: int) -> F32:
        """Draw (count, 192) float32 unit vectors."""
        raw = rng.standard_normal((count, DIMENSION)).astype(np.float32) @ self.factor.T + self.mean
        return np.asarray(raw / np.linalg.norm(raw, axis=1, keepdims=True), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Passage:
    """One stranger walking through one light camera's picture."""

    start_us: int
    end_us: int
    embedding: F32
    mask_state: MaskState
    mask_probability: float
    quality: float
    face_count: int


def load_cohort(path: Path) -> Cohort:
    """Read `cohort_mean` and `cohort_cov` of a .npz file; `SimError` if it has none."""
    try:
        with np.load(path) as file:
            mean, covariance = (np.asarray(file[key], dtype=np.float64) for key in _KEYS)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise SimError(
            f"cohort: cannot read {' and '.join(_KEYS)} from {path} ({type(error).__name__}); "
            "give a .npz file with both"
        ) from None
    if mean.shape != (DIMENSION,) or covariance.shape != (DIMENSION, DIMENSION):
        raise SimError(f"cohort: {path} holds shapes {mean.shape}, {covariance.shape}; rebuild it")
    values, vectors = np.linalg.eigh(covariance)
    factor = vectors * np.sqrt(np.maximum(values, 0.0))
    return Cohort(mean.astype(np.float32), factor.astype(np.float32))


def day_of_passages(
    cohort: Cohort, rng: np.random.Generator, day: date, *, least: int = 20, most: int = 60
) -> tuple[Passage, ...]:
    """Draw one camera's strangers between 08:00 and 18:00 UTC of `day`, in time order."""
    count = int(rng.integers(least, most + 1))
    opening_us = to_us(datetime.combine(day, time(8), tzinfo=UTC))
    starts_us = np.sort(rng.integers(0, 10 * 3_600 * 1_000_000, size=count)) + opening_us
    lengths_us = rng.integers(2_000_000, 12_000_000, size=count)
    embeddings = cohort.draw(rng, count)
    masked = rng.random(count) < _MASKED_SHARE
    return tuple(
        Passage(
            start_us=int(starts_us[i]),
            end_us=int(starts_us[i] + lengths_us[i]),
            embedding=embeddings[i],
            mask_state=MaskState.MASKED if masked[i] else MaskState.UNMASKED,
            mask_probability=float(rng.uniform(0.9, 1.0) if masked[i] else rng.uniform(0.0, 0.1)),
            quality=float(rng.uniform(0.4, 0.95)),
            face_count=max(1, int(lengths_us[i] // 1_000_000)),
        )
        for i in range(count)
    )
