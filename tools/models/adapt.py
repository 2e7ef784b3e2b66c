"""Learn the adaptation (centring and shrinkage whitening) and the calibration from crops."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.models.runtime import Network
from tools.models.crops import U8, arcface_frame

F32 = NDArray[np.float32]
SHRINKAGE = 0.25


def embed_crops(network: Network, crops: Iterable[U8]) -> F32:
    """Embed crops: sum of the face's and its mirror image's vectors, L2-normalised; (n, 192)."""
    rows = []
    for crop in crops:
        frame = (arcface_frame(crop).astype(np.float32) - 127.5) / 128.0
        pair = [network.run(np.ascontiguousarray(f[None]))[0][0] for f in (frame, frame[:, ::-1])]
        rows.append(sum(v / np.linalg.norm(v) for v in pair))
    return unit(np.stack(rows))


def unit(vectors: NDArray[np.floating]) -> F32:
    """L2-normalise rows."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def learn_whitening(embeddings: F32, *, shrinkage: float = SHRINKAGE) -> tuple[F32, F32]:
    """Return the mean (192,) and the symmetric (ZCA) shrinkage-whitening matrix (192, 192)."""
    mean = embeddings.mean(0)
    covariance = np.cov((embeddings - mean).T)
    target = np.eye(len(mean)) * np.trace(covariance) / len(mean)
    values, vectors = np.linalg.eigh((1 - shrinkage) * covariance + shrinkage * target)
    whitening = vectors @ np.diag(values**-0.5) @ vectors.T
    return mean.astype(np.float32), (whitening / np.abs(whitening).max()).astype(np.float32)


def apply(raw: F32, mean: F32, whitening: F32) -> F32:
    """Centre, whiten and renormalise (n, 192) embeddings."""
    return unit((raw - mean) @ whitening.T)


def stranger_similarities(left: F32, right: F32 | None = None) -> NDArray[np.floating]:
    """Return all cosines between different people, near-duplicates (> 0.9) left out."""
    if right is None:
        cosines = (left @ left.T)[np.triu_indices(len(left), 1)]
    else:
        cosines = (left @ right.T).ravel()
    return cosines[cosines < 0.9]


def describe(cosines: NDArray[np.floating]) -> dict[str, float]:
    """Summarise a set of cosines."""
    return {
        "mean": round(float(cosines.mean()), 4),
        "sd": round(float(cosines.std()), 4),
        "q999": round(float(np.quantile(cosines, 0.999)), 4),
        "pairs": len(cosines),
    }


def save_adaptation(target: Path, mean: F32, whitening: F32, adapted_cohort: F32) -> None:
    """Write the statistics that ship: adaptation, and the adapted cohort's mean and covariance."""
    np.savez_compressed(
        target,
        mean=mean,
        whitening=whitening,
        cohort_mean=adapted_cohort.mean(0).astype(np.float32),
        cohort_cov=np.cov(adapted_cohort.T).astype(np.float32),
    )
