"""Sign codes: which rows of a gallery can be near a probe at all, told from 24 bytes a row.

A row is kept as the signs of its 192 rotated components, a probe as its signs and one bit of
magnitude each. The weighted Hamming distance between them (weight 3 where the probe's component
is large, 1 where it is small) estimates the angle with about half the error of plain sign bits
(Gao and Long, "RaBitQ", SIGMOD 2024, for the asymmetric idea; Charikar, STOC 2002, for sign
codes). The limit of a probe follows from the cosine that must not be missed, in closed form: the
shard's secret rotation makes every direction alike, whatever the faces are.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from controller.domain.types import F32, F64

U64 = NDArray[np.uint64]
WORDS: Final = 3
HEAVY: Final = 3
"""Weight of a large component; 1 for a small one. Levels 1:3 split at one standard deviation are
close to the best two-level quantiser of a normal variable."""
MISS_RATE: Final = 0.002
"""Share of the rows exactly at the wanted cosine that a limit may lose; those above lose fewer."""


@dataclass(frozen=True, slots=True)
class ProbeCodes:
    """p probes ready for the scan: `signs` and `heavy` (p, 3) uint64, `limits` (p,) uint64.

    A row passes if popcount(d) + 2 popcount(d & heavy) <= limit with d = row ^ signs.
    """

    signs: U64
    heavy: U64
    limits: U64


def sign_codes(templates: NDArray[np.int8 | np.float32]) -> U64:
    """Return the (n, 3) uint64 sign codes of (n, 192) templates; bit i of word i // 64."""
    return _packed(np.greater_equal(templates, 0))


def probe_codes(probes: F32, min_similarity: F32, *, miss_rate: float = MISS_RATE) -> ProbeCodes:
    """Return the codes of (p, 192) unit probes; `min_similarity` (p,) is what must pass."""
    large = np.abs(probes) > 1.0 / np.sqrt(probes.shape[1])
    mean, sd = distance_at(probes, np.asarray(min_similarity, np.float64))
    limits = np.floor(mean + norm.isf(miss_rate) * sd)
    return ProbeCodes(
        signs=sign_codes(probes),
        heavy=_packed(large),
        limits=np.clip(limits, 0, HEAVY * probes.shape[1]).astype(np.uint64),
    )


def distance_at(probes: F32, cosines: F64) -> tuple[F64, F64]:
    """Return mean and standard deviation (p,) of the distance of rows at these cosines (p,).

    A row at cosine c of probe q is c q + sqrt(1 - c^2) g with g in a random direction, so that
    component i differs in sign with probability Phi(-c |q_i| sqrt(192) / sqrt(1 - c^2)).
    """
    magnitude = np.abs(probes.astype(np.float64))
    dimension = probes.shape[1]
    weight = np.where(magnitude > 1.0 / np.sqrt(dimension), HEAVY, 1)
    c = np.clip(cosines, -0.999, 0.999)[:, None]
    differs = norm.cdf(-c * magnitude * np.sqrt(dimension) / np.sqrt(1 - c * c))
    mean = (weight * differs).sum(axis=1)
    return mean, np.sqrt((weight**2 * differs * (1 - differs)).sum(axis=1))


def pass_rate(probes: F32, codes: ProbeCodes, cosines: F64) -> F64:
    """Return the share (p, k) of rows at each of k cosines that the limits let through."""
    shares = np.empty((len(probes), len(cosines)))
    for j, cosine in enumerate(cosines):
        mean, sd = distance_at(probes, np.full(len(probes), cosine))
        shares[:, j] = norm.cdf((codes.limits + 0.5 - mean) / sd)
    return shares


def _packed(bits: NDArray[np.bool_]) -> U64:
    packed = np.packbits(bits, axis=-1, bitorder="little")
    return np.asarray(packed.view("<u8"), np.uint64)
