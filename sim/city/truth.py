"""Who was who, what could have been seen, and who met whom: for the scorer, and nobody else."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from sim.city.closeness import Stretches, stretches_of, within
from sim.city.making import Making, Unit
from sim.city.passing import Passages
from sim.city.tracklets import detectable
from sim.city.types import F64, I32, I64, START_US, U64, Bools, CityPlan

NOBODY: Final = -1
WINDOW_US: Final = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Passed:
    """k times that a subject's face was before a camera, (k,) each, in order; true µs.

    `detectable` a face of at least 28 px for at least a second, camera up; `down` the camera was
    down; `sighting` the (first) tracklet that the box made of it, 0 if it made none; `published`.
    """

    camera: I32
    start_us: I64
    end_us: I64
    detectable: Bools
    down: Bools
    masked: Bools
    sighting: U64
    published: Bools

    def __len__(self) -> int:
        """Return k."""
        return len(self.camera)


@dataclass(frozen=True, slots=True)
class Close:
    """k intervals in which somebody was within the distance of a subject, (k,) each; true µs.

    `case`, `other` the person's number; `camera` that had both in view, -1 if none; `seen_s`
    seconds with both faces visible to that camera, `other_seen_s` with the other's.
    """

    case: I32
    other: I64
    start_us: I64
    end_us: I64
    camera: I32
    seen_s: F64
    other_seen_s: F64


@dataclass(frozen=True, slots=True)
class Met:
    """k people whom a subject met, (k,) each; minutes within the distance.

    `most_in_day` in the worst 24 hours, `in_view` before one camera, `most_in_view` of those in the
    worst 24 hours, `both_seen` with both faces visible, `other_seen` with the other's.
    """

    other: I64
    minutes: F64
    most_in_day: F64
    in_view: F64
    most_in_view: F64
    both_seen: F64
    other_seen: F64


class Truth:
    """The truth of one plan."""

    def __init__(self, plan: CityPlan) -> None:
        self._making = Making(plan)
        self._plan = plan
        self._units: list[Unit] | None = None

    @property
    def subjects(self) -> I64:
        """Return (cases,) the subjects' numbers."""
        return self._making.subjects

    def cases_of(self, sightings: U64) -> I32:
        """Return (n,) whose case each sighting belongs to, `NOBODY` for strangers."""
        numbers, cases = [], []
        for unit, case in self._subject_units():
            numbers.append(unit.recorded.sightings.sighting)
            cases.append(case[unit.recorded.row])
        case_of = np.concatenate(cases).astype(np.int64)
        return _looked_up(np.concatenate(numbers), case_of, sightings).astype(np.int32)

    def people_of(self, sightings: U64) -> I64:
        """Return (n,) the number of the person in each sighting; goes through the whole city."""
        out = np.full(len(sightings), NOBODY, np.int64)
        for unit in self._making.units():
            person = unit.crowd.person[unit.recorded.row]
            found = _looked_up(unit.recorded.sightings.sighting, person, sightings)
            out = np.where(found >= 0, found, out)
        return out

    def passed(self, case: int) -> Passed:
        """Return every time that a subject's face was before a camera, seen or not."""
        parts = [
            self._passed(unit, int(np.flatnonzero(cases == case)[0]))
            for unit, cases in self._subject_units()
        ]
        names = Passed.__slots__
        return Passed(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def _subject_units(self) -> list[tuple[Unit, I32]]:
        """Return the subjects' days, and which case each row of the crowd is."""
        if self._units is None:
            people = self._making.crowd(np.sort(self.subjects))
            self._units = [self._making.unit(0, day, people) for day in range(self._plan.days)]
        return [(unit, np.argsort(self.subjects).astype(np.int32)) for unit in self._units]

    def _passed(self, unit: Unit, row: int) -> Passed:
        mine = np.flatnonzero(unit.passages.row == row)
        some, recorded = unit.passages.take(mine), unit.recorded
        held = np.zeros(len(unit.passages), np.int64)
        # Parts of one passage are in order: written backwards, the first one stays.
        held[recorded.passage[::-1]] = np.arange(len(recorded.row), 0, -1)
        at = held[mine]
        cameras = self._making.cameras
        return Passed(
            some.camera, _us(some.start_s), _us(some.end_s), detectable(cameras, some),
            cameras.is_down(some.camera, some.start_s, some.end_s), some.masked,
            np.concatenate([np.zeros(1, np.uint64), recorded.sightings.sighting])[at],
            np.concatenate([np.zeros(1, bool), recorded.sightings.published])[at],
        )  # fmt: skip

    def close(self, distance_m: float) -> Close:
        """Return who was within a distance of the subjects, and when; goes through the city."""
        own = [self._own(unit) for unit, _ in self._subject_units()]
        case_of = dict(zip(self.subjects.tolist(), range(len(self.subjects)), strict=True))
        parts = []
        for unit in self._making.units():
            for day in {unit.day - 1, unit.day, unit.day + 1} & set(range(self._plan.days)):
                parts += self._meetings(own[day], unit, case_of, distance_m)
        names = Close.__slots__
        whole = Close(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))
        order = np.lexsort((whole.other, whole.start_us, whole.case))
        return Close(*(getattr(whole, name)[order] for name in names))

    def _own(self, unit: Unit) -> tuple[Stretches, Passages]:
        return stretches_of(self._making, unit), unit.passages

    def _meetings(
        self,
        own: tuple[Stretches, Passages],
        unit: Unit,
        cases: dict[int, int],
        distance_m: float,
    ) -> list[Close]:
        mine, their = own[0], stretches_of(self._making, unit)
        their = their.take(np.flatnonzero(np.isin(their.room, mine.room)))
        a, b, start, end = within(mine, their, distance_m)
        if not len(a):
            return []
        camera = np.where(mine.camera[a] == their.camera[b], mine.camera[a], -1)
        case = np.array([cases[one] for one in mine.person[a].tolist()], np.int32)
        row = their.person[b] - unit.crowd.person[0]
        own_row = np.searchsorted(np.sort(self.subjects), mine.person[a])
        seen_s, other_s = np.zeros(len(a)), np.zeros(len(a))
        for k in np.flatnonzero(camera >= 0):
            other = _spells(unit.passages, int(row[k]), int(camera[k]), start[k], end[k])
            subject = _spells(own[1], int(own_row[k]), int(camera[k]), start[k], end[k])
            other_s[k], seen_s[k] = (other[:, 1] - other[:, 0]).sum(), _overlap(other, subject)
        return [Close(case, their.person[b], _us(start), _us(end), camera.astype(np.int32), seen_s,
                      other_s)]  # fmt: skip

    def met(self, close: Close, case: int) -> Met:
        """Return whom a subject met, from the intervals of `close`."""
        rows = np.flatnonzero(close.case == case)
        others = np.unique(close.other[rows])
        columns = []
        for other in others:
            mine = rows[close.other[rows] == other]
            watched = mine[close.camera[mine] >= 0]
            columns.append((
                _minutes(close, mine).sum(), _most(close, mine), _minutes(close, watched).sum(),
                _most(close, watched), close.seen_s[mine].sum() / 60,
                close.other_seen_s[mine].sum() / 60,
            ))  # fmt: skip
        table = np.array(columns, np.float64).reshape(-1, 6)
        return Met(others, *table.T)


def _us(at_s: F64) -> I64:
    return np.asarray(START_US + np.round(at_s * 1e6).astype(np.int64))


def _looked_up(known: U64, values: I64, wanted: U64) -> I64:
    """Return the values of known numbers, `NOBODY` for others."""
    out = np.full(len(wanted), NOBODY, np.int64)
    if len(known):
        order = np.argsort(known)
        at = order[np.minimum(np.searchsorted(known[order], wanted), len(known) - 1)]
        hit = known[at] == wanted
        out[hit] = values[at[hit]]
    return out


def _spells(passages: Passages, row: int, camera: int, start_s: float, end_s: float) -> F64:
    """Return (k, 2) when somebody's face was visible to a camera within an interval."""
    mine = (passages.row == row) & (passages.camera == camera)
    mine &= (passages.start_s < end_s) & (passages.end_s > start_s)
    both = np.column_stack([passages.start_s[mine], passages.end_s[mine]])
    return np.asarray(both.clip(start_s, end_s))


def _overlap(one: F64, other: F64) -> float:
    low = np.maximum(one[:, None, 0], other[None, :, 0])
    high = np.minimum(one[:, None, 1], other[None, :, 1])
    return float(np.maximum(high - low, 0.0).sum())


def _minutes(close: Close, rows: I64) -> F64:
    return np.asarray((close.end_us[rows] - close.start_us[rows]) / 60e6)


def _most(close: Close, rows: I64) -> float:
    """Return the most minutes in any 24 hours that begin with one of the intervals."""
    best = 0.0
    for start in close.start_us[rows]:
        ends = np.minimum(close.end_us[rows], start + WINDOW_US)
        inside = np.maximum(ends - np.maximum(close.start_us[rows], start), 0)
        best = max(best, float(inside.sum() / 60e6))
    return best
