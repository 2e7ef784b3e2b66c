"""Adaptation: centring and whitening of embeddings by the statistics of a cohort of faces.

Strangers are not equally far apart everywhere: on a street of one city they resemble each other
more than in the pictures that a network was trained on. What all faces of a cohort share (mean)
and the directions in which they all vary (covariance) say nothing about who is who, so they are
removed (within-cohort whitening; Jegou and Chum, "Negative evidences and co-occurences in image
retrieval", ECCV 2012). Masked and unmasked faces have statistics of their own. The directions in
which a face moves when a mask is put on are shrunk further, so that a person stays close to
themselves (within-class covariance normalisation; Hatch et al., Interspeech 2006).

No labels and no pictures are needed: counts, means and covariances are enough, and those of many
boxes can be joined without any face leaving its box.
"""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from agent.errors import AgentError
from agent.vision.types import MaskName as FaceState

SIZE: Final = 192
MIN_FACES: Final = 300
"""Fewer faces than this would make the statistics wrong, and would say something about them."""
OTHER_STATE: Final = 0.1
"""Share of the other mask state's covariance in each state's whitening."""
MASK_SHARE: Final = 0.15
"""Share of the scatter between a face and itself with a mask on."""
RIDGE: Final = 0.1
"""Share of the unit matrix (Ledoit and Wolf's shrinkage target)."""

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


class AdaptationInvalid(AgentError):
    """Statistics are too few or malformed."""


@dataclass(frozen=True, slots=True)
class FaceStatistics:
    """Count, mean (192,) and covariance (192, 192) of raw unit embeddings of one mask state."""

    count: int
    mean: F64
    covariance: F64

    @staticmethod
    def of(raw: NDArray[np.floating]) -> "FaceStatistics":
        """Describe (n, 192) raw embeddings."""
        rows = np.asarray(raw, np.float64)
        mean = rows.mean(0)
        return FaceStatistics(len(rows), mean, (rows - mean).T @ (rows - mean) / len(rows))

    @staticmethod
    def empty() -> "FaceStatistics":
        """Return the statistics of no face."""
        return FaceStatistics(0, np.zeros(SIZE), np.zeros((SIZE, SIZE)))

    def joined(self, other: "FaceStatistics") -> "FaceStatistics":
        """Join two sets of faces exactly (Chan, Golub and LeVeque, 1979)."""
        count = self.count + other.count
        if count == 0:
            return self
        share = other.count / count
        step = other.mean - self.mean
        covariance = (1 - share) * self.covariance + share * other.covariance
        covariance = covariance + share * (1 - share) * np.outer(step, step)
        return FaceStatistics(count, self.mean + share * step, covariance)


@dataclass(frozen=True, slots=True)
class Adaptation:
    """A centring (192,) and a whitening (192, 192) for each mask state."""

    means: Mapping[FaceState, F32]
    whitenings: Mapping[FaceState, F32]

    def apply(self, raw: NDArray[np.floating], state: FaceState) -> F32:
        """Adapt (n, 192) raw unit embeddings of one mask state; returns unit rows (n, 192)."""
        centred = (np.asarray(raw, np.float32) - self.means[state]) @ self.whitenings[state]
        norms = np.linalg.norm(centred, axis=-1, keepdims=True)
        return np.asarray(centred / np.maximum(norms, 1e-9), dtype=np.float32)


def learn_adaptation(
    unmasked: FaceStatistics, masked: FaceStatistics, mask_scatter: NDArray[np.floating]
) -> Adaptation:
    """Work out the adaptation of a cohort.

    `mask_scatter` (192, 192): covariance of the change that a mask makes to a face. Raises
    `AdaptationInvalid` if a state has fewer than `MIN_FACES` faces.
    """
    for name, seen in (("unmasked", unmasked), ("masked", masked)):
        if seen.count < MIN_FACES:
            raise AdaptationInvalid(
                f"adaptation.{name}: {seen.count} faces seen, {MIN_FACES} are needed; wait longer"
            )
    both = (unmasked.covariance + masked.covariance) / 2
    mixes: dict[FaceState, F64] = {
        "unmasked": _mix(unmasked.covariance, masked.covariance),
        "masked": _mix(masked.covariance, unmasked.covariance),
        "unsure": both,
    }
    means: dict[FaceState, F64] = {
        "unmasked": unmasked.mean,
        "masked": masked.mean,
        "unsure": (unmasked.mean + masked.mean) / 2,
    }
    return Adaptation(
        means={k: v.astype(np.float32) for k, v in means.items()},
        whitenings={k: _whitening(v, mask_scatter) for k, v in mixes.items()},
    )


def _mix(own: F64, other: F64) -> F64:
    return np.asarray((1 - OTHER_STATE) * own + OTHER_STATE * other)


def _whitening(covariance: F64, mask_scatter: NDArray[np.floating]) -> F32:
    mixed = (1 - RIDGE - MASK_SHARE) * _per_dimension(covariance)
    mixed = mixed + MASK_SHARE * _per_dimension(np.asarray(mask_scatter, np.float64))
    values, vectors = np.linalg.eigh(mixed + RIDGE * np.eye(SIZE))
    # The symmetric root (ZCA) keeps the axes of both states comparable with each other.
    return np.asarray((vectors * values**-0.5) @ vectors.T, np.float32)


def _per_dimension(covariance: F64) -> F64:
    return np.asarray(covariance * (SIZE / max(float(np.trace(covariance)), 1e-12)))


@dataclass(frozen=True, slots=True)
class CohortStatistics:
    """All that an adaptation is learned from: both mask states, and the scatter of a mask."""

    unmasked: FaceStatistics
    masked: FaceStatistics
    mask_scatter: F64

    def adaptation(self) -> Adaptation:
        """Work out the adaptation; raises `AdaptationInvalid` if there are too few faces."""
        return learn_adaptation(self.unmasked, self.masked, self.mask_scatter)

    def adapted_spread(self, state: Literal["masked", "unmasked"]) -> tuple[F64, F64]:
        """Return mean (192,) and covariance (192, 192) of a state's faces after adaptation.

        Scaled to a mean squared norm of one, as adapted embeddings are unit vectors.
        """
        whitening = self.adaptation().whitenings[state].astype(np.float64)
        seen = self.masked if state == "masked" else self.unmasked
        covariance = whitening @ seen.covariance @ whitening
        return np.zeros(SIZE), np.asarray(covariance / np.trace(covariance))

    def joined(self, other: "CohortStatistics") -> "CohortStatistics":
        """Join the faces of two cohorts; the scatter of a mask is the first one's."""
        return CohortStatistics(
            self.unmasked.joined(other.unmasked), self.masked.joined(other.masked),
            self.mask_scatter,
        )  # fmt: skip


def statistics_to_bytes(cohort: CohortStatistics) -> bytes:
    """Write statistics as a compressed NumPy archive of float32 arrays."""
    target = io.BytesIO()
    np.savez_compressed(
        target,
        mask_scatter=cohort.mask_scatter.astype(np.float32),
        unmasked_count=np.array(cohort.unmasked.count, np.int64),
        unmasked_mean=cohort.unmasked.mean.astype(np.float32),
        unmasked_covariance=cohort.unmasked.covariance.astype(np.float32),
        masked_count=np.array(cohort.masked.count, np.int64),
        masked_mean=cohort.masked.mean.astype(np.float32),
        masked_covariance=cohort.masked.covariance.astype(np.float32),
    )
    return target.getvalue()


def statistics_from_bytes(data: bytes) -> CohortStatistics:
    """Read statistics; raises `AdaptationInvalid` if the archive is not what was written."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return CohortStatistics(
                _from_arrays("unmasked", arrays), _from_arrays("masked", arrays),
                _checked(arrays["mask_scatter"], (SIZE, SIZE)),
            )  # fmt: skip
    except (KeyError, ValueError, OSError, zipfile.BadZipFile, EOFError) as error:
        raise AdaptationInvalid(
            f"adaptation statistics: {error}; export them from the boxes again"
        ) from None


def _from_arrays(name: str, arrays: Mapping[str, NDArray[np.generic]]) -> FaceStatistics:
    count = int(_checked(arrays[f"{name}_count"], ()))
    if count < 0:
        raise ValueError(f"{name}_count is negative")
    return FaceStatistics(
        count, _checked(arrays[f"{name}_mean"], (SIZE,)),
        _checked(arrays[f"{name}_covariance"], (SIZE, SIZE)),
    )  # fmt: skip


def _checked(array: NDArray[np.generic], shape: tuple[int, ...]) -> F64:
    if array.shape != shape:
        raise ValueError(f"shape {array.shape} where {shape} is due")
    values = np.asarray(array, np.float64)
    if not np.isfinite(values).all():
        raise ValueError("numbers that are not finite")
    return values
