"""Two cheap looks that spare the exact one: which rows can be near a probe at all.

First look: the signs of a row's 192 rotated components (24 bytes) against a probe's signs and
one bit of magnitude each, as a weighted Hamming distance (weight 3 where the probe's component is
large, 1 where it is small). Second look, for what passed: one more bit of each component of the
row, against four bits of each component of the probe. Both estimate the cosine with a known error
(Gao and Long, "RaBitQ", SIGMOD 2024, for the asymmetric idea; Charikar, STOC 2002, for sign
codes), so the limits of a probe follow from the cosine that must not be missed, in closed form:
the shard's secret rotation makes every direction alike, whatever the faces are.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from controller.domain.types import F32, F64

U64 = NDArray[np.uint64]
WORDS: Final = 3
HEAVY: Final = 3
"""Weight of a large component; 1 for a small one. Levels 1:3 split at one standard deviation are
close to the best two-level quantiser of a normal variable."""
TOP: Final = 64
"""A row's component is large if its int8 value is at least this: half of the row's largest."""
LEVEL_BITS: Final = 3
LEVEL_SPAN: Final = 3.0
"""The probe's components up to this many standard deviations have levels 0 to 7."""
MISS_RATE: Final = 0.003
SECOND_MISS_RATE: Final = 0.0003
"""Share of the rows exactly at the wanted cosine that each look may lose; of those above it each
loses fewer."""
ROW_MATCH, ROW_MATCH_SD = 0.9164, 0.0182
"""Cosine between a row and its own two-bit code (mean, sd of 50,000 random directions)."""


@dataclass(frozen=True, slots=True)
class ProbeCodes:
    """p probes ready for the scan.

    First look: `signs`, `heavy` (p, 3) uint64, `limits` (p,) uint64; a row passes if
    popcount(d) + 2 popcount(d & heavy) <= limit with d = row signs ^ signs.
    Second look: `levels` (p, 3, 3) uint64, bit planes of the probe's levels; `least` (p,) float32,
    to be reached by the codes' dot product over the length of the row's code.
    """

    signs: U64
    heavy: U64
    limits: U64
    levels: U64
    least: F32


def bit_planes(flags: NDArray[np.bool_]) -> U64:
    """Pack (..., 192) flags into (..., 3) uint64; bit i of word i // 64 is flag i."""
    packed = np.packbits(flags, axis=-1, bitorder="little")
    return np.asarray(packed.view("<u8"), np.uint64)


def probe_codes(probes: F32, min_similarity: F32) -> ProbeCodes:
    """Return the codes of (p, 192) unit probes; `min_similarity` (p,) is what must pass."""
    cosines = np.asarray(min_similarity, np.float64)
    root = np.sqrt(probes.shape[1])
    mean, sd = distance_at(probes, cosines)
    limits = np.floor(mean - ndtri(MISS_RATE) * sd)
    levels = probe_levels(probes)
    mean_2, sd_2 = second_at(probes, levels, cosines)
    lengths = np.linalg.norm(levels, axis=1)
    return ProbeCodes(
        signs=bit_planes(probes >= 0),
        heavy=bit_planes(np.abs(probes) * root > 1.0),
        limits=np.clip(limits, 0, HEAVY * probes.shape[1]).astype(np.uint64),
        levels=np.stack([bit_planes(levels >> bit & 1 == 1) for bit in range(LEVEL_BITS)], 1),
        least=np.asarray((mean_2 + ndtri(SECOND_MISS_RATE) * sd_2) * lengths, np.float32),
    )


def probe_levels(probes: F32) -> NDArray[np.int64]:
    """Return the magnitudes (p, 192) of the second look, 0 to 7."""
    top = 2**LEVEL_BITS - 1
    scaled = np.abs(probes) * np.sqrt(probes.shape[1]) * top / LEVEL_SPAN
    return np.asarray(np.clip(np.rint(scaled), 0, top), np.int64)


def distance_at(probes: F32, cosines: F64) -> tuple[F64, F64]:
    """Return mean and standard deviation (p,) of the first look's distance at cosines (p,).

    A row at cosine c of probe q is c q + sqrt(1 - c^2) g with g in a random direction at right
    angles to q, so that component i differs in sign with probability
    Phi(-c |q_i| sqrt(192) / sqrt(1 - c^2)). The right angle is what makes the distance so sharp:
    what an independent g would vary along q falls away (variance given a linear constraint).
    """
    magnitude = np.abs(probes.astype(np.float64))
    root = np.sqrt(probes.shape[1])
    weight = np.where(magnitude * root > 1.0, HEAVY, 1)
    c = np.clip(cosines, -0.999, 0.999)[:, None]
    edge = c * magnitude * root / np.sqrt(1 - c * c)
    differs = ndtr(-edge)
    along = (weight * magnitude * np.exp(-edge * edge / 2) / np.sqrt(2 * np.pi)).sum(axis=1)
    variance = (weight**2 * differs * (1 - differs)).sum(axis=1) - along**2
    return (weight * differs).sum(axis=1), np.sqrt(np.maximum(variance, 1.0))


def second_at(probes: F32, levels: NDArray[np.int64], cosines: F64) -> tuple[F64, F64]:
    """Return mean and standard deviation (p,) of the cosine between both codes, at cosines (p,).

    With a the cosine between a vector and its own code and b = sqrt(1 - a^2), the errors of both
    codes point in random directions: variance (a_q^2 b_r^2 s^2 + b_q^2 a_r^2 s^2 + b_q^2 b_r^2)
    / 191 with s^2 = 1 - c^2, and that of a_r itself.
    """
    magnitude = np.abs(probes.astype(np.float64))
    match = (levels * magnitude).sum(axis=1) / np.linalg.norm(levels, axis=1)
    c = np.clip(cosines, -0.999, 0.999)
    own, row, across = 1 - match**2, 1 - ROW_MATCH**2, 1 - c * c
    variance = (match**2 * row * across + own * ROW_MATCH**2 * across + own * row) / (
        probes.shape[1] - 1
    ) + (c * match * ROW_MATCH_SD) ** 2
    return c * match * ROW_MATCH, np.sqrt(variance)


def pass_rate(probes: F32, codes: ProbeCodes, cosines: F64) -> F64:
    """Return the share (p, k) of rows at each of k cosines that the first look lets through."""
    shares = np.empty((len(probes), len(cosines)))
    for j, cosine in enumerate(cosines):
        mean, sd = distance_at(probes, np.full(len(probes), cosine))
        shares[:, j] = ndtr((codes.limits + 0.5 - mean) / sd)
    return shares
