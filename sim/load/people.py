"""The passers-by of a load: a pool drawn once, rotated once per shard and epoch."""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np

from sim.light.strangers import Cohort, Passage, day_of_passages
from wire.messages import MaskState
from wire.protection import protect

POOL: Final = 300
MAX_BOOKS: Final = 128
"""Rotated pools that are kept (58 KB each), the least recently used goes first: 43 shards of two
epochs fit."""


@dataclass(frozen=True, slots=True)
class Walker:
    """One member of the pool: how long somebody is seen and what the networks say of the face."""

    length_us: int
    mask_state: MaskState
    mask_probability: float
    quality: float
    face_count: int


class People:
    """A pool of passers-by; templates come from it by the shard's key, already as wire bytes.

    The same few hundred people walk everywhere, which the cost of carrying them does not notice;
    whoever measures recognition must use other data.
    """

    def __init__(self, cohort: Cohort, rng: np.random.Generator, size: int = POOL) -> None:
        # Only how long and how clearly they are seen is taken from the day, not when.
        drawn = day_of_passages(cohort, rng, date(1970, 1, 1), least=size, most=size)
        self.walkers: Final = tuple(_walker(passage) for passage in drawn)
        self._embeddings = np.stack([passage.embedding for passage in drawn])
        self._books: OrderedDict[bytes, tuple[bytes, ...]] = OrderedDict()

    def __len__(self) -> int:
        return len(self.walkers)

    def templates(self, shard_key: bytes) -> tuple[bytes, ...]:
        """Return the pool's templates (192 bytes each) under one shard's key."""
        found = self._books.get(shard_key)
        if found is None:
            found = tuple(row.tobytes() for row in protect(self._embeddings, shard_key))
            self._books[shard_key] = found
            if len(self._books) > MAX_BOOKS:
                self._books.popitem(last=False)
        else:
            self._books.move_to_end(shard_key)
        return found


def _walker(passage: Passage) -> Walker:
    return Walker(
        length_us=passage.end_us - passage.start_us,
        mask_state=passage.mask_state,
        mask_probability=passage.mask_probability,
        quality=passage.quality,
        face_count=passage.face_count,
    )
