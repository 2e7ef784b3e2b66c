"""Random numbers that are functions of what they are for, so that any part can be made alone.

A number is a hash of the seed, a purpose and keys (person, day, ...); in whatever order or chunk
people are made, each one gets the same life. The mixing is SplitMix64's finaliser (Steele et al.,
"Fast splittable pseudorandom number generators", 2014).
"""

import zlib
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from sim.city.types import F64, I64, U64

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)
_UNIT: Final = 2.0**-53
Keys = NDArray[np.integer] | NDArray[np.bool_] | int


def mixed(values: U64) -> U64:
    """Return well-mixed numbers; one-to-one."""
    out = values ^ (values >> np.uint64(30))
    out *= _FIRST
    out ^= out >> np.uint64(27)
    out *= _SECOND
    out ^= out >> np.uint64(31)
    return out


class Draws:
    """Numbers of one seed; every method broadcasts its keys."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def bits(self, purpose: str, *keys: Keys) -> U64:
        """Return 64 random bits for each combination of keys."""
        start = (self._seed << 32) | zlib.crc32(purpose.encode())
        state = mixed(np.array([start], np.uint64))
        for key in keys:
            # Wraps around on purpose: that is what the hash is.
            state = mixed((state ^ np.asarray(key).astype(np.uint64)) + _GOLDEN)
        return state

    def uniform(self, purpose: str, *keys: Keys) -> F64:
        """Return numbers above 0 and below 1."""
        return ((self.bits(purpose, *keys) >> np.uint64(11)).astype(np.float64) + 0.5) * _UNIT

    def normal(self, purpose: str, *keys: Keys) -> F64:
        """Return standard normal numbers."""
        return np.asarray(ndtri(self.uniform(purpose, *keys)))

    def exponential(self, purpose: str, *keys: Keys) -> F64:
        """Return numbers of mean 1."""
        return np.asarray(-np.log(self.uniform(purpose, *keys)))

    def below(self, purpose: str, limit: int | NDArray[np.integer], *keys: Keys) -> I64:
        """Return whole numbers from 0 to below `limit`."""
        return np.asarray((self.uniform(purpose, *keys) * limit).astype(np.int64))

    def chance(self, purpose: str, share: float | F64, *keys: Keys) -> NDArray[np.bool_]:
        """Return True with probability `share`."""
        return np.asarray(self.uniform(purpose, *keys) < share)
