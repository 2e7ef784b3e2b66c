"""A synthetic city as its controller and boxes could know it: everything but who was who."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from sim.city.making import Making, Unit
from sim.city.paths import Paths
from sim.city.types import (
    F32,
    F64,
    I64,
    START_US,
    U64,
    Bools,
    Chunk,
    CityPlan,
    Down,
    GroundPath,
    Links,
    Probes,
    Said,
    Sightings,
    Sites,
)  # fmt: skip

SAMPLE_EVERY: Final = 16
"""Every so-manieth sighting of a chunk is in its sample; in large cities fewer."""
PHOTO_QUALITY: Final = 0.8
SIZE: Final = 192


class City:
    """One city; all it returns is a function of the plan."""

    def __init__(self, plan: CityPlan) -> None:
        self.plan = plan
        self._making = Making(plan)

    @property
    def sites(self) -> Sites:
        """Return the cameras."""
        return self._making.cameras.sites

    @property
    def links(self) -> Links:
        """Return the network between the cameras; made when first asked for."""
        return self._making.links

    @property
    def down(self) -> Down:
        """Return when cameras saw nothing."""
        return self._making.cameras.down

    def probes(self, photos: Sequence[str] = ("unmasked", "masked")) -> Probes:
        """Return the reference photos of all cases, one of each of these mask states."""
        subjects = self._making.subjects
        case = np.repeat(np.arange(len(subjects)), len(photos)).astype(np.int32)
        masked = np.tile([name == "masked" for name in photos], len(subjects))
        embedding = np.stack(
            [
                self._making.faces.photo(int(subjects[c]), k % len(photos), bool(m), PHOTO_QUALITY)
                for k, (c, m) in enumerate(zip(case, masked, strict=True))
            ]
        )
        quality = np.full(len(case), PHOTO_QUALITY, np.float32)
        return Probes(case, masked, quality, embedding)

    def stream(self, probes: Probes, *, least: float | None = None) -> Iterator[Chunk]:
        """Yield everything in chunks of some people's day, never the city at once.

        With `least`, only sightings with a cosine of at least that to any probe are kept; the
        counts and the sample are of all.
        """
        for unit in self._making.units():
            yield self._chunk(unit, probes, least)

    def gathered(self, probes: Probes, *, least: float | None = None) -> Chunk:
        """Return the whole stream as one chunk, in order of start by the boxes' clocks."""
        parts = list(self.stream(probes, least=least))
        by_day = np.sum([part.seen_by_day for part in parts], axis=0)
        sample = np.concatenate([part.sample for part in parts])
        masked = np.concatenate([part.sample_masked for part in parts])
        names = Sightings.__slots__
        rows = Sightings(
            *(np.concatenate([getattr(part.rows, name) for part in parts]) for name in names)
        )
        # One copy of the cosines, by far the largest column, beside the parts: no second one.
        cosines = np.empty((len(rows), len(probes)), np.float32)
        order = np.lexsort((rows.sighting, rows.camera, rows.start_us))
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        first = 0
        while parts:
            part = parts.pop(0)
            cosines[place[first : first + len(part.rows)]] = part.cosines
            first += len(part.rows)
        return Chunk(rows.take(order), cosines, int(by_day.sum()), by_day, sample, masked)

    def _chunk(self, unit: Unit, probes: Probes, least: float | None) -> Chunk:
        rows = unit.recorded.sightings
        cosines = np.empty((len(rows), len(probes)), np.float32)
        for some, embedding in self._making.embeddings(unit):
            cosines[some] = embedding @ probes.embedding.T
        sample = np.arange(len(rows))[:: max(SAMPLE_EVERY, self._making.blocks // 4)]
        by_day = np.zeros(self.plan.days, np.int64)
        by_day[unit.day] = len(rows)
        kept: Bools = np.ones(len(rows), bool)
        if least is not None:
            kept = np.asarray((cosines >= least).any(axis=1))
        return Chunk(
            rows.take(kept), cosines[kept], len(rows), by_day, cosines[sample],
            rows.masked[sample],
        )  # fmt: skip

    def templates(self, sightings: U64) -> F32:
        """Return (n, 192) embeddings of sightings by their numbers; NaN where there is none.

        Goes through the whole city: for cities of some thousand people.
        """
        out = np.full((len(sightings), SIZE), np.nan, np.float32)
        for unit, mine, wanted in self._found(sightings):
            place = np.full(len(unit.recorded.row), -1)
            place[mine] = wanted
            for some, embedding in self._making.embeddings(unit):
                hit = place[some] >= 0
                out[place[some[hit]]] = embedding[hit]
        return out

    def paths(self, sightings: U64) -> list[GroundPath | None]:
        """Return what queried agents tell of where these sightings were, None where unknown.

        Goes through the whole city: for cities of some thousand people.
        """
        out: list[GroundPath | None] = [None] * len(sightings)
        paths = Paths(self._making)
        for unit, mine, wanted in self._found(sightings):
            for row, place in zip(mine, wanted, strict=True):
                out[int(place)] = paths.of(unit, int(row))
        return out

    def _found(self, sightings: U64) -> Iterator[tuple[Unit, I64, I64]]:
        """Yield units with the rows in it that are wanted, and their places in `sightings`."""
        order = np.argsort(sightings)
        left = len(sightings)
        for unit in self._making.units():
            if not left:
                return
            own = unit.recorded.sightings.sighting
            at = np.minimum(np.searchsorted(sightings[order], own), len(order) - 1)
            mine = np.flatnonzero(sightings[order[at]] == own)
            left -= len(mine)
            if len(mine):
                yield unit, mine, order[at[mine]]

    def said(self) -> Said:
        """Return what the subjects said in the interview: some longer stays, imprecisely."""
        return said(self._making)


def said(making: Making, per_day: int = 2) -> Said:
    """Return up to `per_day` stays of each day of each subject, some minutes and metres off."""
    people = making.crowd(np.sort(making.subjects))
    case_of = np.argsort(making.subjects)
    columns: list[tuple[I64, I64, F64, F64]] = []
    for day in range(making.plan.days):
        stays = making.life(people, day).stays
        long = np.flatnonzero(stays.leave_s - stays.arrive_s > 900)
        order = long[np.lexsort((stays.arrive_s[long] - stays.leave_s[long], stays.row[long]))]
        rank = np.arange(len(order)) - np.searchsorted(stays.row[order], stays.row[order])
        kept = order[rank < per_day]
        columns.append((case_of[stays.row[kept]], stays.venue[kept],
                        stays.arrive_s[kept] + day * 86_400.0,
                        stays.leave_s[kept] + day * 86_400.0))  # fmt: skip
    case, venue, start, end = (np.concatenate(column) for column in zip(*columns, strict=True))
    place = making.streets.places_m[making.venues.node[venue]]
    off = [making.draws.normal(what, case, start.astype(np.int64)) for what in "xyst"]
    times = [START_US + np.round((at + 300 * z) * 1e6).astype(np.int64)
             for at, z in ((start, off[2]), (end, off[3]))]  # fmt: skip
    return Said(
        case.astype(np.int32), place[:, 0] + 20 * off[0], place[:, 1] + 20 * off[1],
        np.full(len(case), 60.0), times[0], np.maximum(times[1], times[0] + 60_000_000),
        np.full(len(case), 300.0),
    )  # fmt: skip
