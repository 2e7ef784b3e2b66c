"""The open-set decision: which sightings are candidates, stated as expected false ones per day.

A photo's strangers are not everybody's strangers: some faces resemble many others. So before a
search the photo is compared with an even sample of the sightings that will be searched, nearly
all of them strangers, and its own mean and spread take the packaged ones' place (zero
normalisation; Auckenthaler, Carey and Lloyd-Thomas, "Score normalization for text-independent
speaker verification systems", DSP 2000). A large sample tells the length of the tail as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from controller.domain.candidates import MASK_STATES
from controller.domain.match import Calibration, PairModel, pair_name
from controller.domain.types import F32, F64

MIN_SAMPLE: Final = 2_000
"""Fewer sampled strangers of a mask state than this tell less than the packaged calibration."""
MIN_TAIL_SAMPLE: Final = 8_000
"""From a smaller sample the tail's length would be told by a few sightings, perhaps the subject's
own: then the packaged one is kept."""
TAIL_AT: Final = 1e-3
TAIL_GROWTH: Final = 1.01
"""The stretch of real strangers still grows a little beyond one in a thousand."""
TAIL_LIMITS: Final = (0.9, 1.3)


@dataclass(frozen=True, slots=True)
class Evidence:
    """How one photo's cosines with sightings of one mask state are read."""

    pair: str
    model: PairModel
    self_calibrated: bool


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """What a case asks for, and what each photo must reach for it.

    `evidence[p][m]`: of photo p with mask state m; `min_similarity` (p, 4): per photo and mask
    state, float32; `false_per_day`: expected strangers among the candidates of one day.
    """

    calibration: Calibration
    evidence: tuple[tuple[Evidence, ...], ...]
    min_similarity: F32
    false_per_day: float
    strangers_per_day: int

    def llrs(
        self, cosines: F32, masks: NDArray[np.uint8], quality: F64, variants: Sequence[str],
        variant: NDArray[np.uint8],
    ) -> F64:  # fmt: skip
        """Return the log-likelihood ratios (n, p) of cosines (n, p).

        `masks` (n,) places in MASK_STATES, `variant` (n,) places in `variants`.
        """
        found = np.zeros(cosines.shape)
        for p, row in enumerate(self.evidence):
            for state, evidence in enumerate(row):
                bands = self.calibration.band_of(evidence.pair, quality)
                for band, kind in {*zip(bands.tolist(), variant.tolist(), strict=True)}:
                    chosen = (masks == state) & (bands == band) & (variant == kind)
                    model = self.calibration.refined(
                        evidence.model, evidence.pair, band, variants[kind]
                    )
                    found[chosen, p] = model.llrs(cosines[chosen, p].astype(np.float64))
        return found

    def expected_false(self, similarity: float, photo: int, mask: int) -> float:
        """Return how many strangers a day are expected at or above a cosine with one photo."""
        share = self.evidence[photo][mask].model.false_share(np.array([similarity]))[0]
        return float(share * self.strangers_per_day)

    def explain(self, similarity: float, photo: int, mask: int) -> str:
        """Say in one sentence what a cosine is worth and why it is, or is not, a candidate."""
        evidence = self.evidence[photo][mask]
        least = float(self.min_similarity[photo, mask])
        model = evidence.model
        steps = (similarity - model.impostor_mean) / model.impostor_sd
        verdict = "is a candidate" if similarity >= least else "is below the operating point"
        source = "this photo's own strangers" if evidence.self_calibrated else "the model's table"
        return (
            f"photo {photo + 1}, {evidence.pair}: cosine {similarity:.3f} is {steps:.1f} standard "
            f"deviations above strangers ({source}), expected of "
            f"{self.expected_false(similarity, photo, mask):.3g} strangers a day; it {verdict} "
            f"({least:.3f} for {self.false_per_day:g} a day over "
            f"{len(self.evidence)} photo(s))"
        )


def operating_point(
    calibration: Calibration, photo_masks: Sequence[str], *, strangers_per_day: int,
    false_per_day: float, sample: F32 | None = None, sample_masks: NDArray[np.uint8] | None = None,
) -> OperatingPoint:  # fmt: skip
    """Return the operating point of a case with one mask state per photo.

    `sample` (s, p): cosines of sampled sightings with all photos, `sample_masks` (s,) their mask
    states. Each photo is a chance of its own for a stranger, so they share the allowance: with
    photos of one person this expects somewhat more false candidates than there will be.
    """
    evidence = tuple(
        tuple(
            _evidence(calibration, photo_mask, state, _column(sample, sample_masks, p, code))
            for code, state in enumerate(MASK_STATES)
        )
        for p, photo_mask in enumerate(photo_masks)
    )
    share = false_per_day / len(photo_masks)
    limits = [
        [one.model.threshold(strangers=strangers_per_day, false_candidates=share) for one in row]
        for row in evidence
    ]
    # The fourth code is not used by any mask state; it counts as unsure.
    padded = np.array([[*row, row[-1]] for row in limits], np.float32)
    return OperatingPoint(calibration, evidence, padded, false_per_day, strangers_per_day)


def own_strangers(model: PairModel, cosines: F32) -> PairModel:
    """Return a model with mean, spread and tail of a photo's own strangers.

    Mean and spread come from the middle of the sample, which the subject's few sightings cannot
    move: its quantiles, scaled as those of a normal distribution.
    """
    ranked = np.sort(cosines)
    low, middle, high, far = (_quantile(ranked, at) for at in (0.16, 0.5, 0.84, 1 - TAIL_AT))
    own = replace(model, impostor_mean=middle, impostor_sd=max((high - low) / 1.98892, 1e-3))
    if len(cosines) < MIN_TAIL_SAMPLE:
        return own
    plain = replace(own, impostor_tail=1.0)
    expected = plain.threshold(strangers=1, false_candidates=TAIL_AT) - middle
    return replace(
        own, impostor_tail=float(np.clip((far - middle) / expected * TAIL_GROWTH, *TAIL_LIMITS))
    )


def _quantile(ranked: F32, at: float) -> float:
    return float(ranked[round(at * (len(ranked) - 1))])


def _column(
    sample: F32 | None, masks: NDArray[np.uint8] | None, photo: int, state: int
) -> F32 | None:
    if sample is None or masks is None:
        return None
    rows = masks == state
    return sample[rows, photo] if rows.sum() >= MIN_SAMPLE else None


def _evidence(
    calibration: Calibration, photo_mask: str, state: str, cosines: F32 | None
) -> Evidence:
    model = calibration.pair(photo_mask, state)
    name = pair_name(photo_mask, state)
    if cosines is None:
        return Evidence(name, model, self_calibrated=False)
    return Evidence(name, own_strangers(model, cosines), self_calibrated=True)
