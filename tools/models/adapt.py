"""Learn a cohort's statistics for the adaptation, and describe similarities."""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from agent.models.runtime import Network
from agent.vision.adaptation import CohortStatistics, FaceStatistics
from agent.vision.align import EMBED_SCALE
from tools.models.crops import U8, arcface_frame, draw_mask

F32 = NDArray[np.float32]


def embed_crops(network: Network, crops: Iterable[U8], *, scale: float = EMBED_SCALE) -> F32:
    """Embed crops: sum of the face's and its mirror image's vectors, L2-normalised; (n, 192)."""
    rows = []
    for crop in crops:
        frame = (arcface_frame(crop, scale=scale).astype(np.float32) - 127.5) / 128.0
        pair = [network.run(np.ascontiguousarray(f[None]))[0][0] for f in (frame, frame[:, ::-1])]
        rows.append(sum(v / np.linalg.norm(v) for v in pair))
    return unit(np.stack(rows))


def unit(vectors: NDArray[np.floating]) -> F32:
    """L2-normalise rows."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def whiten_jointly(raw: F32) -> F32:
    """Whiten embeddings by their own statistics, mask states together; returns unit rows."""
    seen = FaceStatistics.of(raw)
    values, vectors = np.linalg.eigh(seen.covariance)
    shrunk = 0.75 * values + 0.25 * float(values.mean())
    return unit((raw - seen.mean) @ (vectors * shrunk**-0.5) @ vectors.T)


def learn_cohort(
    raw: Mapping[str, F32], unmasked_crops: U8, network: Network, *, seed: int
) -> CohortStatistics:
    """Describe a cohort: `raw` embeddings of "masked" and "unmasked" faces.

    The scatter of a mask comes from the unmasked crops with a mask drawn on them.
    """
    rng = np.random.default_rng(seed)
    drawn = embed_crops(network, [draw_mask(crop, rng) for crop in unmasked_crops])
    change = (drawn - drawn.mean(0)) - (raw["unmasked"] - raw["unmasked"].mean(0))
    return CohortStatistics(
        FaceStatistics.of(raw["unmasked"]), FaceStatistics.of(raw["masked"]),
        np.asarray(change.T @ change / len(change), np.float64),
    )  # fmt: skip


def stranger_similarities(left: F32, right: F32 | None = None) -> NDArray[np.floating]:
    """Return all cosines between rows of different people, one picture a person."""
    if right is None:
        return np.asarray((left @ left.T)[np.triu_indices(len(left), 1)])
    return np.asarray((left @ right.T).ravel())


def describe(cosines: NDArray[np.floating]) -> dict[str, float]:
    """Summarise a set of cosines."""
    return {
        "mean": round(float(cosines.mean()), 4),
        "sd": round(float(cosines.std()), 4),
        "q999": round(float(np.quantile(cosines, 0.999)), 4),
        "pairs": len(cosines),
    }
