"""Stolen galleries: the templates of the same people under two keys, as a thief would hold them.

The thief is given more than a theft gives: every person is in both galleries, and the rows of one
person are known to belong together for measuring, never for attacking (unless a pair is given).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from agent.models.pack import load_pack
from sim.faces import FacePopulation
from wire.protection import dequantise, derive_shard_key, protect, quantise

F32 = NDArray[np.float32]
Frame = Literal["epochs", "shards", "open"]
"""Two days of one shard; two shards of one day; one gallery and the thief's own embeddings."""
PairKind = Literal["exact", "seen"]
_Protector = Callable[[F32], F32]
FRAMES: Final[tuple[Frame, ...]] = ("epochs", "shards", "open")
EPOCH: Final = 20_000
SHARD: Final = 3


@dataclass(frozen=True, slots=True)
class Theft:
    """Two galleries (n, 192) of unit rows under different keys; row i is of one person in both.

    `exact_a` and `exact_b` (k, 192) are one and the same embedding of further people under both
    keys; `seen_a` and `seen_b` (k, 192) two sightings of each of them. Those are the known pairs.
    """

    a: F32
    b: F32
    exact_a: F32
    exact_b: F32
    seen_a: F32
    seen_b: F32

    def pairs(self, kind: PairKind, count: int) -> tuple[F32, F32]:
        """Return the first `count` known pairs of a kind, (count, 192) twice."""
        if kind == "exact":
            return self.exact_a[:count], self.exact_b[:count]
        return self.seen_a[:count], self.seen_b[:count]


@dataclass(frozen=True, slots=True)
class Faces:
    """Adapted embeddings (n, 192) of the same people on two occasions, and of pairs (k, 192)."""

    first: F32
    second: F32
    pair_first: F32
    pair_second: F32


def draw_faces(rng: np.random.Generator, people: int, pairs: int, seed: int) -> Faces:
    """Draw people like real ones, seen without a mask twice at the qualities of a street."""
    population = FacePopulation(seed)
    directions = population.people(rng, people + pairs).unmasked
    first, second = (
        population.sightings(rng, directions, "unmasked", rng.beta(3, 2.5, len(directions)))
        for _ in range(2)
    )
    return Faces(first[:people], second[:people], first[people:], second[people:])


def steal(faces: Faces, frame: Frame, epoch_keys: tuple[bytes, bytes]) -> Theft:
    """Protect the faces under two keys, exactly as agents do, and quantise."""
    left, right = _protectors(frame, epoch_keys)
    return Theft(
        left(faces.first), right(faces.second), left(faces.pair_first), right(faces.pair_first),
        left(faces.pair_first), right(faces.pair_second),
    )  # fmt: skip


def without_whitening(faces: Faces) -> Faces:
    """Undo the adaptation: the same faces as the network gives them, mean and spread included."""
    cohort = load_pack().cohort()
    back = np.linalg.inv(cohort.adaptation().whitenings["unmasked"].astype(np.float64))
    undone = faces.first @ back
    # Brought to the spread that raw embeddings have about their mean.
    scale = np.sqrt(np.trace(cohort.unmasked.covariance) / (undone**2).sum(1).mean())

    def raw(rows: F32) -> F32:
        moved = rows @ back * scale + cohort.unmasked.mean
        return np.asarray(moved / np.linalg.norm(moved, axis=1, keepdims=True), np.float32)

    return Faces(raw(faces.first), raw(faces.second), raw(faces.pair_first), raw(faces.pair_second))


def _protectors(frame: Frame, keys: tuple[bytes, bytes]) -> tuple[_Protector, _Protector]:
    first = _under(derive_shard_key(keys[0], epoch=EPOCH, shard=SHARD))
    if frame == "open":
        return first, lambda rows: dequantise(quantise(rows)) if len(rows) else rows
    if frame == "shards":
        return first, _under(derive_shard_key(keys[0], epoch=EPOCH, shard=SHARD + 1))
    return first, _under(derive_shard_key(keys[1], epoch=EPOCH + 1, shard=SHARD))


def _under(shard_key: bytes) -> _Protector:
    # Nobody may have drawn no pairs at all: an empty block is protected too.
    return lambda rows: dequantise(protect(rows, shard_key)) if len(rows) else rows
