"""Calibration: from a cosine to evidence, per mask pair, quality band and model variant.

Evidence is a log-likelihood ratio (Brummer and du Preez, "Application-independent evaluation of
speaker detection", CSL 2006). One person's own pictures have normally distributed cosines;
strangers have those of random directions in d dimensions, where d = 1 / variance, stretched
upwards by `impostor_tail`: unlike a normal law it ends at one, and one factor fits real strangers
from one in a thousand on (see docs/gallery.md).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from scipy.special import gammaln, stdtr, stdtrit

from controller.domain.types import F32, F64

TAIL_SD: Final = 4.0
"""Beyond this many standard deviations a log-likelihood goes on as a straight line, so that one
extreme cosine cannot outweigh everything else."""
MAX_LLR: Final = 25.0
_EDGE: Final = 0.9999
PAIRS: Final = ("unmasked-unmasked", "masked-unmasked", "masked-masked")


@dataclass(frozen=True, slots=True)
class PairModel:
    """Cosines of one mask pair: the same person's and strangers', as normal distributions."""

    impostor_mean: float
    impostor_sd: float
    genuine_mean: float
    genuine_sd: float
    impostor_tail: float = 1.0

    def llr(self, similarity: float) -> float:
        """Return the log-likelihood ratio of a cosine; see `llrs`."""
        return float(self.llrs(np.array([similarity]))[0])

    def llrs(self, similarities: F64) -> F64:
        """Return the log-likelihood ratios (n,) of cosines (n,); they rise with the cosine.

        Above the genuine mean a genuine face is taken as no less likely than at the mean: to be
        more similar than usual is no evidence against.
        """
        values = np.asarray(similarities, np.float64)
        genuine = _log_density(np.minimum(values, self.genuine_mean), self.genuine_mean,
                               self.genuine_sd)  # fmt: skip
        impostor = self._impostor_log_density(np.maximum(values, self.impostor_mean))
        return np.clip(genuine - impostor, -MAX_LLR, MAX_LLR)

    def threshold(self, *, strangers: int, false_candidates: float) -> float:
        """Return the cosine that this many of that many strangers are expected to exceed."""
        share = min(max(false_candidates / max(strangers, 1), 1e-12), 0.5)
        free = self.dimensions - 1
        steps = -float(stdtrit(free, share))
        return self.impostor_mean + self.impostor_tail * steps / float(np.sqrt(free + steps**2))

    def false_share(self, similarities: F64) -> F64:
        """Return the share of strangers expected at or above cosines (n,)."""
        free = self.dimensions - 1
        x = np.clip(self._straight(similarities), -_EDGE, _EDGE)
        return np.asarray(stdtr(free, -x * np.sqrt(free / (1 - x * x))), np.float64)

    @property
    def dimensions(self) -> float:
        """In how many dimensions random directions spread like these strangers."""
        return 1.0 / self.impostor_sd**2

    def _straight(self, values: F64) -> F64:
        return np.asarray((values - self.impostor_mean) / self.impostor_tail, np.float64)

    def _impostor_log_density(self, values: F64) -> F64:
        half = (self.dimensions - 1) / 2
        x = np.minimum(self._straight(values), _EDGE)
        scale = gammaln(half + 0.5) - gammaln(half) - np.log(self.impostor_tail)
        # The normal law of `_log_density` leaves out the same factor, log sqrt(2 pi).
        return np.asarray((half - 1) * np.log1p(-x * x) + scale + np.log(2.0) / 2, np.float64)


@dataclass(frozen=True, slots=True)
class Band:
    """What the same person looks like in sightings of a quality below `below`."""

    below: float
    genuine_mean: float
    genuine_sd: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """The pair models of one space, with their quality bands and its variants' shifts.

    `bands`: per pair in rising order, the last one open; none: quality does not matter.
    `variants`: by how much a variant that begins so lowers the genuine mean; others do not.
    """

    pairs: Mapping[str, PairModel]
    bands: Mapping[str, Sequence[Band]] = field(default_factory=dict)
    variants: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def from_mapping(
        cls, raw: Mapping[str, Any], *, tail: Mapping[str, float] | None = None,
        band: Mapping[str, Sequence[Mapping[str, float]]] | None = None,
        variant: Mapping[str, float] | None = None,
    ) -> "Calibration":  # fmt: skip
        """Read the tables of a calibration file; `raw` is that of a model pack's manifest.

        Raises `ValueError` naming the table and the mend.
        """
        pairs = {
            name: PairModel(**values, impostor_tail=(tail or {}).get(name, 1.0))
            for name, values in raw.items()
        }
        if missing := [name for name in PAIRS if name not in pairs]:
            raise ValueError(f"calibration.{missing[0]!r}: is missing; add its four figures")
        bands = {name: tuple(Band(**one) for one in rows) for name, rows in (band or {}).items()}
        for name, rows in bands.items():
            edges = [one.below for one in rows]
            if not rows or name not in pairs or edges != sorted(set(edges)):
                raise ValueError(f"band.{name!r}: name a mask pair and let `below` rise")
        return cls(pairs, bands, dict(variant or {}))

    def pair(self, probe_mask: str, sighting_mask: str) -> PairModel:
        """Return the model of a mask pair; an unsure side counts as unmasked."""
        return self.pairs[pair_name(probe_mask, sighting_mask)]

    def llr(self, similarity: float, probe_mask: str, sighting_mask: str) -> float:
        """Return the log-likelihood ratio of a cosine between two faces."""
        return self.pair(probe_mask, sighting_mask).llr(similarity)

    def refined(self, pair: PairModel, name: str, band: int, variant: str = "") -> PairModel:
        """Return a pair model with the genuine side of a quality band and variant."""
        shift = max((v for k, v in self.variants.items() if variant.startswith(k)), default=0.0)
        bands = self.bands.get(name, ())
        mean, sd = (
            (bands[band].genuine_mean, bands[band].genuine_sd)
            if bands
            else (pair.genuine_mean, pair.genuine_sd)
        )
        return replace(pair, genuine_mean=mean - shift, genuine_sd=sd)

    def band_of(self, name: str, quality: F64) -> np.ndarray[Any, np.dtype[np.intp]]:
        """Return the band's place of each quality (n,)."""
        edges = [band.below for band in self.bands.get(name, ())][:-1]
        return np.searchsorted(np.array(edges), quality, side="right")


def pair_name(probe_mask: str, sighting_mask: str) -> str:
    """Return the name of a mask pair; an unsure side counts as unmasked."""
    return PAIRS[sum(state == "masked" for state in (probe_mask, sighting_mask))]


def best_similarity(probes: F32, templates: F32) -> F32:
    """Return the best cosine of each template, (n,), over (p, 192) probes and (n, 192) templates.

    Both must be unit rows in the same epoch and shard.
    """
    return np.asarray((templates @ probes.T).max(axis=1), np.float32)


def _log_density(values: F64, mean: float, sd: float) -> F64:
    z = np.abs(values - mean) / sd
    quadratic = np.where(z <= TAIL_SD, z * z / 2, TAIL_SD * z - TAIL_SD * TAIL_SD / 2)
    return np.asarray(-quadratic - np.log(sd), np.float64)
