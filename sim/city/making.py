"""The works of a city: everything about everybody, made block by block and day by day.

Only `sim.city.city`, which hides who is who, and `sim.city.truth`, which tells, use it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from sim.city.cameras import Cameras, set_up_cameras
from sim.city.days import Day, DayMaker
from sim.city.draws import Draws
from sim.city.faces import BLOCK, Faces
from sim.city.links import links_of
from sim.city.passing import Passages, Watcher
from sim.city.people import Crowd, crowd
from sim.city.streets import Streets, lay_streets
from sim.city.tracklets import Recorded, record
from sim.city.types import F32, I64, CityPlan, Links
from sim.city.venues import Venues, open_venues

TRIED_PER_CASE: Final = 6
SEEN_PER_DAY: Final = 3
"""A case is of somebody whom boxes hold so often a day, on average."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One block of people on one day; rows of `recorded` are in order of true start."""

    block: int
    day: int
    crowd: Crowd
    life: Day
    passages: Passages
    recorded: Recorded

    def member(self) -> I64:
        """Return (n,) the place in the block of whom each tracklet shows."""
        return np.asarray(self.crowd.person[self.recorded.row] - self.block * BLOCK)


class Making:
    """Streets, venues, cameras and lives of one city."""

    def __init__(self, plan: CityPlan) -> None:
        self.plan = plan
        self.draws = Draws(plan.seed)
        self.streets: Streets = lay_streets(np.random.default_rng([plan.seed, 0]), plan.cameras)
        rng = np.random.default_rng([plan.seed, 1])
        self.venues: Venues = open_venues(rng, self.streets, plan.cameras)
        self.cameras: Cameras = set_up_cameras(plan, self.draws, self.streets, self.venues)
        # Where everybody is masked, nobody takes the mask off to eat.
        bare = plan.mask_rate < 1.0
        self.watcher = Watcher(self.draws, self.venues, self.cameras, eats_bare=bare)
        self.faces = Faces(plan.seed)

    @property
    def blocks(self) -> int:
        """Return how many blocks of people there are."""
        return -(-self.plan.people // BLOCK)

    @cached_property
    def links(self) -> Links:
        """Return the network between cameras."""
        return links_of(self.streets, self.venues, self.cameras)

    def crowd(self, person: I64) -> Crowd:
        """Return the people of these numbers."""
        return crowd(self.plan, self.draws, self.streets, self.venues, person)

    def life(self, people: Crowd, day: int) -> Day:
        """Return where a crowd went on a day."""
        return DayMaker(self.draws, self.streets, self.venues, people).day(day)

    def unit(self, block: int, day: int, people: Crowd | None = None) -> Unit:
        """Return what happened to a block (or, of it, to `people` only) on a day."""
        if people is None:
            people = self.crowd(
                np.arange(block * BLOCK, min((block + 1) * BLOCK, self.plan.people))
            )
        life = self.life(people, day)
        passages = self.watcher.passages(people, day, life)
        recorded = record(self.plan, self.draws, self.cameras, passages)
        return Unit(block, day, people, life, passages, recorded)

    def units(self) -> Iterator[Unit]:
        """Yield everything, the days of a block after each other."""
        for block in range(self.blocks):
            first, last = block * BLOCK, min((block + 1) * BLOCK, self.plan.people)
            people = self.crowd(np.arange(first, last))
            for day in range(self.plan.days):
                yield self.unit(block, day, people)

    def embeddings(self, unit: Unit) -> Iterator[tuple[I64, F32]]:
        """Yield rows of a whole block's tracklets and their embeddings, some at a time."""
        seen = unit.recorded.sightings
        return self.faces.drawn(unit.block, unit.day, unit.member(), seen.masked, seen.quality)

    @cached_property
    def subjects(self) -> I64:
        """Return (cases,) the people whom the cases are about, each of them seen now and then."""
        plan = self.plan
        wanted = min(plan.people, TRIED_PER_CASE * plan.cases)
        drawn = self.draws.below("subject", plan.people, np.arange(8 * wanted))
        _, first = np.unique(drawn, return_index=True)
        tried = drawn[np.sort(first)][:wanted]
        tried = np.unique(np.concatenate([tried, np.arange(plan.cases)])) if len(
            tried) < plan.cases else tried  # fmt: skip
        order = np.argsort(tried)
        people, seen = self.crowd(tried[order]), np.zeros(len(tried), np.int64)
        for day in range(plan.days):
            rows = self.unit(0, day, people).recorded.row
            seen[order] += np.bincount(rows, minlength=len(tried))
        often = seen >= SEEN_PER_DAY * plan.days
        best = np.lexsort((np.arange(len(tried)), np.where(often, 0, -seen), ~often))
        return np.asarray(tried[best[: plan.cases]])
