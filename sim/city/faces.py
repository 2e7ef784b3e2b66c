"""Faces of everybody: each sighting's embedding, drawn from the seed, its block, day and place.

People live in blocks of `BLOCK`; a block's people and its sightings of a day are drawn in one go
each, so that any of them can be drawn again alone.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sim.city.types import F32, I64, Bools
from sim.faces.population import FacePopulation, People, State

BLOCK: Final = 1_000
DRIFT: Final = 0.03
"""How much of somebody's look is that day's own: hair, glasses, a beard, the season's light."""
AT_ONCE: Final = 4_096
"""Embeddings drawn at a time: 3 MB, which a cache holds."""
STATES: Final[tuple[State, State]] = ("unmasked", "masked")


class Faces:
    """The faces of one city."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._population = FacePopulation(seed)
        self._last: tuple[int, People] | None = None

    def people(self, block: int) -> People:
        """Return the people of a block; the last one asked for is kept."""
        if self._last is None or self._last[0] != block:
            rng = np.random.default_rng([self._seed, 3, block])
            self._last = block, self._population.people(rng, BLOCK)
        return self._last[1]

    def drawn(
        self, block: int, day: int, member: I64, masked: Bools, quality: NDArray[np.floating]
    ) -> Iterator[tuple[I64, F32]]:
        """Yield rows and their embeddings (m, 192) for all sightings of a block's day.

        `member` (n,) places in the block. The same arguments give the same embeddings.
        """
        today = self._today(block, day)
        seeds = np.random.SeedSequence([self._seed, 5, block, day])
        rng = np.random.Generator(np.random.SFC64(seeds))
        for state, chosen in zip(STATES, (~masked, masked), strict=True):
            rows = np.flatnonzero(chosen)
            for first in range(0, len(rows), AT_ONCE):
                some = rows[first : first + AT_ONCE]
                yield (
                    some,
                    self._population.sightings(
                        rng, today[state][member[some]], state, quality[some]
                    ),
                )

    def _today(self, block: int, day: int) -> dict[State, F32]:
        """Return how a block's people look on one day: (BLOCK, 192) for each mask state."""
        people = self.people(block)
        rng = np.random.default_rng([self._seed, 8, block, day])
        nobody, best = np.zeros((BLOCK, people.masked.shape[1]), np.float32), np.ones(BLOCK)
        out: dict[State, F32] = {}
        for state in STATES:
            own = people.masked if state == "masked" else people.unmasked
            other = self._population.sightings(rng, nobody, state, best)
            mixed = np.sqrt(1 - DRIFT) * own + np.sqrt(DRIFT) * other
            out[state] = mixed / np.linalg.norm(mixed, axis=1, keepdims=True)
        return out

    def photo(self, person: int, number: int, masked: bool, quality: float) -> F32:
        """Return the embedding (192,) of a reference photo of somebody."""
        people = self.people(person // BLOCK)
        own = people.masked if masked else people.unmasked
        rng = np.random.default_rng([self._seed, 6, person, number])
        direction = own[person % BLOCK : person % BLOCK + 1]
        drawn = self._population.sightings(rng, direction, STATES[int(masked)], np.array([quality]))
        return np.asarray(drawn[0], np.float32)
