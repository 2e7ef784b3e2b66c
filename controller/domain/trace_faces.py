"""Faces of one stretch, pooled: sightings of one stranger resemble each other.

A log-likelihood ratio is of one sighting. That of several sightings of one person is not their sum:
a stranger who resembles the subject does so at every camera (correlation of his scores), while the
subject's own sightings should lie around what is usual for the subject. Pooled are the means of two
normal scores, each with the variance that a mean of correlated scores has (design effect, Kish,
"Survey Sampling", 1965).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from controller.domain.candidates import CandidateTable
from controller.domain.match import MAX_LLR, PairModel
from controller.domain.openset import OperatingPoint
from controller.domain.types import F32, F64

MAX_SCORE: Final = 12.0
PHOTO_CORRELATION: Final = 0.25
"""Of one stranger's scores against two photos of the subject."""


@dataclass(frozen=True, slots=True)
class LookAlikes:
    """How much sightings of one person resemble each other, as correlations of scores.

    `stranger` a stranger's with the same mask state, `across` between mask states, `subject` the
    subject's own (light, drift), with the standard deviation `subject_sd`; `subject_spread` is how
    far subjects' usual scores lie from those of people in general (a photo's bias), as a standard
    deviation.
    """

    stranger: float = 0.8
    across: float = 0.4
    subject: float = 0.15
    subject_sd: float = 0.8
    subject_spread: float = 0.8


@dataclass(frozen=True, slots=True)
class FaceScores:
    """Each candidate's cosine as two normal scores, (n,) each.

    `strange`: standard deviations above strangers; `usual`: standard deviations above what is usual
    for the same person (below it: negative).
    """

    strange: F64
    usual: F64


def read_faces(
    point: OperatingPoint, cosines: F32, masks: NDArray[np.uint8], quality: F64
) -> tuple[F64, FaceScores]:
    """Return (n,) log-likelihood ratios and scores of cosines (n, p) with all of a case's photos.

    `masks` (n,) places in `MASK_STATES`. Photos are weighed by how well their kind of pair tells
    people apart (squared d'): a masked face unlike the masked photo is not saved by some likeness
    to the unmasked one, as it would be if only the best photo counted.
    """
    shape = cosines.shape
    llr, strange, usual, weight = (np.zeros(shape) for _ in range(4))
    for p, row in enumerate(point.evidence):
        for state, evidence in enumerate(row):
            rows = np.flatnonzero(masks == state)
            values = cosines[rows, p].astype(np.float64)
            strange[rows, p] = _above(evidence.model, values)
            weight[rows, p] = _discrimination(evidence.model)
            bands = point.calibration.band_of(evidence.pair, quality[rows])
            for band in np.unique(bands):
                mine = bands == band
                model = point.calibration.refined(evidence.model, evidence.pair, int(band))
                llr[rows[mine], p] = model.llrs(values[mine])
                usual[rows[mine], p] = (values[mine] - model.genuine_mean) / model.genuine_sd
    weight /= weight.sum(axis=1, keepdims=True)
    # The variance of a weighted mean of scores that are correlated between photos.
    squares = (weight**2).sum(axis=1)
    spread = squares + PHOTO_CORRELATION * (1.0 - squares)
    scores = FaceScores(
        (weight * strange).sum(axis=1) / np.sqrt(spread),
        (weight * usual.clip(-MAX_SCORE, MAX_SCORE)).sum(axis=1) / np.sqrt(spread),
    )
    return ((weight * llr).sum(axis=1) / spread).clip(-MAX_LLR, MAX_LLR), scores


def _discrimination(model: PairModel) -> float:
    spread = (model.genuine_sd**2 + model.impostor_sd**2) / 2
    return (model.genuine_mean - model.impostor_mean) ** 2 / spread


def scores_of_llrs(table: CandidateTable) -> FaceScores:
    """Return the scores that fit log-likelihood ratios when nothing else is known."""
    return FaceScores(np.sqrt(2 * np.maximum(table.llr, 0.0)), np.zeros(len(table)))


def scores_of_table(table: CandidateTable, point: OperatingPoint) -> FaceScores:
    """Return the scores of each candidate's cosine with the photo that speaks most for it.

    Of rows without such a photo (`probe` -1: told by an agent) those that fit their evidence.
    """
    known = scores_of_llrs(table)
    strange, usual = known.strange.copy(), known.usual.copy()
    for p, row in enumerate(point.evidence):
        for state, evidence in enumerate(row):
            rows = np.flatnonzero((table.probe == p) & (table.mask == state))
            strange[rows] = _above(evidence.model, table.similarity[rows])
            bands = point.calibration.band_of(evidence.pair, table.quality[rows])
            for band in np.unique(bands):
                mine = rows[bands == band]
                model = point.calibration.refined(evidence.model, evidence.pair, int(band))
                usual[mine] = (table.similarity[mine] - model.genuine_mean) / model.genuine_sd
    return FaceScores(strange, usual.clip(-MAX_SCORE, MAX_SCORE))


@dataclass(frozen=True, slots=True)
class Sums:
    """Running sums over a path of n nodes, (n + 1,) each, of one mask state."""

    weight: F64
    squares: F64
    strange: F64
    usual: F64
    rest: F64

    @classmethod
    def over(
        cls, chosen: NDArray[np.bool_], weight: F64, llr: F64, scores: FaceScores, shift: float
    ) -> "Sums":
        """Return the sums over the chosen nodes of a path; `shift` is this subject's own usual."""
        w = np.where(chosen, weight, 0.0)
        rest = llr - scores.strange**2 / 2 + np.minimum(scores.usual, 0.0) ** 2 / 2
        own = scores.usual - shift
        columns = (w, w * w, w * scores.strange, w * own, w * rest)
        return cls(*(_cumulated(column) for column in columns))

    def evidence(
        self, first: NDArray[np.int64], until: NDArray[np.int64], alike: LookAlikes, doubt: float
    ) -> F64:
        """Return (k,) log-likelihood ratios of the stretches from `first` to before `until`.

        `doubt` is the variance of what is taken as the subject's own usual.
        """
        weight, squares, strange, usual, rest = (
            getattr(self, name)[until] - getattr(self, name)[first] for name in self.__slots__
        )
        total = np.maximum(weight, 1e-12)
        looks = np.maximum(total**2 / np.maximum(squares, 1e-12), 1.0)
        v_stranger = alike.stranger + (1 - alike.stranger) / looks
        v_subject = alike.subject_sd**2 * (alike.subject + (1 - alike.subject) / looks) + doubt
        found = (
            rest / total
            + (strange / total) ** 2 / (2 * v_stranger)
            - np.minimum(usual / total, 0.0) ** 2 / (2 * v_subject)
            + np.log(v_stranger / v_subject) / 2
        )
        return np.asarray(np.where(weight > 0, found, 0.0))


def own_usual(usual: F64, alike: LookAlikes) -> tuple[float, float]:
    """Return how far this subject's sightings lie from what is usual, and how sure that is.

    `usual` (n,) are the scores of sightings that are firmly the subject's; a poor photo, say,
    lowers all of them. The first figure is shrunk to 0, the second is its variance.
    """
    certainty = len(usual) * alike.subject_spread**2 / alike.subject_sd**2
    middle = float(np.median(usual)) if len(usual) else 0.0
    return middle * certainty / (1 + certainty), alike.subject_spread**2 / (1 + certainty)


def pooled(one: F64, other: F64, alike: LookAlikes) -> F64:
    """Return the evidence of two mask states together; they tell partly the same."""
    larger = np.abs(one) >= np.abs(other)
    first, second = np.where(larger, one, other), np.where(larger, other, one)
    return np.asarray(first + (1 - alike.across) * second)


def _above(model: PairModel, similarity: F64) -> F64:
    share = np.maximum(model.false_share(similarity), 1e-30)
    return np.asarray(norm.isf(share).clip(-MAX_SCORE, MAX_SCORE), np.float64)


def _cumulated(values: F64) -> F64:
    return np.concatenate([[0.0], np.cumsum(values)])
