"""Open-set matching: from cosines to calibrated evidence, and which sightings are worth a look."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy.stats import norm

from controller.domain.types import F32, F64

TAIL_SD: Final = 4.0
"""Beyond this many standard deviations a log-likelihood goes on as a straight line, so that one
extreme cosine cannot outweigh everything else."""
MAX_LLR: Final = 25.0


@dataclass(frozen=True, slots=True)
class PairModel:
    """Cosines of one mask pair: the same person's and strangers', as normal distributions."""

    impostor_mean: float
    impostor_sd: float
    genuine_mean: float
    genuine_sd: float

    def llr(self, similarity: float) -> float:
        """Return the log-likelihood ratio of a cosine; rises with the cosine everywhere.

        Above the genuine mean a genuine face is taken as no less likely than at the mean: to be
        more similar than usual is no evidence against.
        """
        genuine = _log_density(min(similarity, self.genuine_mean), self.genuine_mean,
                               self.genuine_sd)  # fmt: skip
        impostor = _log_density(max(similarity, self.impostor_mean), self.impostor_mean,
                                self.impostor_sd)  # fmt: skip
        return float(np.clip(genuine - impostor, -MAX_LLR, MAX_LLR))

    def threshold(self, *, strangers: int, false_candidates: float) -> float:
        """Return the cosine that this many of that many strangers are expected to exceed."""
        share = min(max(false_candidates / max(strangers, 1), 1e-12), 0.5)
        return float(self.impostor_mean + self.impostor_sd * norm.isf(share))


@dataclass(frozen=True, slots=True)
class Calibration:
    """The pair models of one space and variant."""

    pairs: Mapping[str, PairModel]

    @classmethod
    def from_mapping(cls, raw: Mapping[str, Any]) -> "Calibration":
        """Read the `calibration` table of a model pack's manifest."""
        return cls({name: PairModel(**values) for name, values in raw.items()})

    def pair(self, probe_mask: str, sighting_mask: str) -> PairModel:
        """Return the model of a mask pair; an unsure side counts as unmasked."""
        masked = sum(state == "masked" for state in (probe_mask, sighting_mask))
        return self.pairs[("unmasked-unmasked", "masked-unmasked", "masked-masked")[masked]]

    def llr(self, similarity: float, probe_mask: str, sighting_mask: str) -> float:
        """Return the log-likelihood ratio of a cosine between two faces."""
        return self.pair(probe_mask, sighting_mask).llr(similarity)


def best_similarity(probes: F32, templates: F32) -> F32:
    """Return the best cosine of each template, (n,), over (p, 192) probes and (n, 192) templates.

    Both must be unit rows in the same epoch and shard.
    """
    return np.asarray((templates @ probes.T).max(axis=1), np.float32)


def _log_density(value: float, mean: float, sd: float) -> float:
    z = abs(value - mean) / sd
    quadratic = z * z / 2 if z <= TAIL_SD else TAIL_SD * z - TAIL_SD * TAIL_SD / 2
    return -quadratic - float(np.log(sd))


def expected_false(model: PairModel, thresholds: F64, strangers: int) -> F64:
    """Return how many of the strangers are expected above each threshold."""
    z = (thresholds - model.impostor_mean) / model.impostor_sd
    return np.asarray(norm.sf(z) * strangers, np.float64)
