"""People drawn at random with the statistics that the real embedder has after adaptation.

Strangers: directions are drawn from the mean and covariance of real faces of each mask state, as
the model pack ships them; some people belong to families of look-alikes, which makes the upper
tail as long as the real one. The same person: a sighting is the person's direction mixed with
another of the same spread, more of it the lower its quality; a mask changes a part of the
direction. Figures beside real ones: docs/matching.md.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from agent.models.pack import load_pack
from agent.vision.adaptation import CohortStatistics

F32 = NDArray[np.float32]
State = Literal["masked", "unmasked"]
SIZE: Final = 192
FAMILIES: Final = 30
FAMILY_LIKENESS: Final = {"unmasked": 0.25, "masked": 0.35}
"""How alike two of one family of look-alikes are; what a mask hides has families of its own."""
MASK_LIKENESS: Final = 0.47
KEPT: Final = {"low": (0.57, 0.20), "middle": (0.83, 0.10), "high": (0.92, 0.04)}
"""How much of a sighting is the person's own direction (mean, sd), by quality band."""
LOW_BELOW: Final = 0.3
HIGH_FROM: Final = 0.65


@dataclass(frozen=True, slots=True)
class People:
    """n people: their directions (n, 192) without and with a mask, in the spreads' own frame."""

    unmasked: F32
    masked: F32


class FacePopulation:
    """Draws people and their sightings; the same seed gives the same families."""

    def __init__(self, seed: int, cohort: CohortStatistics | None = None) -> None:
        cohort = cohort or load_pack().cohort()
        self._spread = {state: _spread(cohort, state) for state in ("unmasked", "masked")}
        rng = np.random.default_rng([seed, 0])
        self._families = {
            state: rng.standard_normal((FAMILIES, SIZE)).astype(np.float32)
            for state in FAMILY_LIKENESS
        }

    def people(self, rng: np.random.Generator, count: int) -> People:
        """Draw `count` people."""
        own, behind = self._drawn(rng, count, "unmasked"), self._drawn(rng, count, "masked")
        hidden = MASK_LIKENESS * own + np.sqrt(1 - MASK_LIKENESS**2) * behind
        return People(self._placed(own, "unmasked"), self._placed(hidden, "masked"))

    def _drawn(self, rng: np.random.Generator, count: int, state: str) -> F32:
        own = rng.standard_normal((count, SIZE), dtype=np.float32)
        family = self._families[state][rng.integers(0, FAMILIES, count)]
        likeness = FAMILY_LIKENESS[state]
        mixed = np.sqrt(likeness) * family + np.sqrt(1 - likeness) * own
        return np.asarray(mixed, np.float32)

    def sightings(
        self, rng: np.random.Generator, directions: F32, state: State, quality: NDArray[np.floating]
    ) -> F32:
        """Draw one (n, 192) unit embedding for each direction, at these qualities (n,)."""
        band = np.where(quality < LOW_BELOW, 0, np.where(quality < HIGH_FROM, 1, 2))
        mean, sd = (np.array([KEPT[b][k] for b in ("low", "middle", "high")])[band] for k in (0, 1))
        kept = np.clip(rng.normal(mean, sd), 0.05, 0.98)[:, None]
        drawn = rng.standard_normal(directions.shape, dtype=np.float32)
        noise = self._placed(drawn, state)
        return _unit(kept * directions + np.sqrt(1 - kept**2) * noise)

    def _placed(self, raw: F32, state: str) -> F32:
        mean, factor = self._spread[state]
        return _unit(raw @ factor.T + mean)


def _spread(cohort: CohortStatistics, state: str) -> tuple[F32, F32]:
    mean, covariance = cohort.adapted_spread("masked" if state == "masked" else "unmasked")
    values, vectors = np.linalg.eigh(covariance)
    # The symmetric root, so that a direction means the same with and without a mask.
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    return mean.astype(np.float32), root.astype(np.float32)


def _unit(vectors: NDArray[np.floating]) -> F32:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / lengths, np.float32)
