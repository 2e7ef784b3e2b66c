"""Is the city honest? Its figures beside those of the real model, and whether they agree."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from sim.city.making import Making, Unit
from sim.city.tracklets import detectable
from sim.city.types import F32, F64, I64, Bools, CityPlan
from sim.errors import SimError

QUANTILES: Final = (0.99, 0.999, 0.9999)
REAL: Final[Mapping[str, float]] = {
    "unmasked-unmasked": 0.44, "masked-masked": 0.46, "masked-unmasked": 0.403,
}  # fmt: skip
"""99.9 % of real strangers lie below, after adaptation (docs/models.md; the first of 450 faces)."""
CLOSE_ENOUGH: Final = 0.02
FEWEST: Final = 2_000_000
"""Pairs below which the 99.9 % quantile of so few people is not known to 0.02."""
PROBES: Final = 400
PROBE_QUALITY: Final = 0.9
MAX_UNITS: Final = 24
"""Blocks' days that are looked at, spread evenly over the city."""
ALIKE: Final = 0.45
MASK_CLOSE, MISS_CLOSE = 0.10, 0.03
"""Of sightings, not of people: in a small city a few venues with habits of their own weigh much."""
DECIDE_FROM: Final = 20_000


class DishonestCity(SimError):
    """The city's figures are not those that it promises; the message names the figure."""


@dataclass(slots=True)
class _Counts:
    """Sums over units."""

    people_days: int = 0
    passages: int = 0
    detectable: int = 0
    recorded_passages: int = 0
    sightings: int = 0
    published: int = 0
    masked: int = 0
    visible: float = 0.0


def facts(plan: CityPlan) -> dict[str, Any]:
    """Return the figures of a city; some of its people's days stand for all of them."""
    making = Making(plan)
    units = making.blocks * plan.days
    chosen = np.unique(np.linspace(0, units - 1, min(units, MAX_UNITS)).astype(int))
    photos = _photos(making)
    counts, cosines = _Counts(), {name: [np.empty(0, np.float32)] for name in REAL}
    for one in chosen:
        unit = making.unit(int(one) // plan.days, int(one) % plan.days)
        _count(making, unit, counts)
        _compare(making, unit, photos, cosines)
    return _told(plan, counts, {name: np.concatenate(parts) for name, parts in cosines.items()})


def check(found: Mapping[str, Any], plan: CityPlan) -> None:
    """Raise `DishonestCity` if a figure is not what the plan or the real model says."""
    for name, own in found["impostors"].items():
        off = abs(own["quantiles"][1] - REAL[name])
        if own["pairs"] >= FEWEST and off > CLOSE_ENOUGH:
            raise DishonestCity(f"impostors {name}: 99.9 % at {own['quantiles'][1]}, not "
                                f"{REAL[name]}; calibrate sim.faces again")  # fmt: skip
    if found["sightings_counted"] < DECIDE_FROM:
        return
    for name, wanted, close in (("masked_share", plan.mask_rate, MASK_CLOSE),
                                ("missed_share", plan.miss_rate, MISS_CLOSE)):  # fmt: skip
        if abs(found[name] - wanted) > close:
            raise DishonestCity(f"{name}: {found[name]}, not {wanted}; adjust habits or weights")


@dataclass(frozen=True, slots=True)
class _Photos:
    """Photos (p, 192) of people (p,) from everywhere in the city; half of them masked."""

    person: I64
    masked: Bools
    embedding: F32


def _photos(making: Making) -> _Photos:
    people = making.plan.people
    person = np.unique(np.linspace(0, people - 1, min(people, PROBES)).astype(np.int64))
    masked = np.arange(len(person)) % 2 == 1
    embedding = [
        making.faces.photo(int(one), 9, bool(m), PROBE_QUALITY)
        for one, m in zip(person, masked, strict=True)
    ]
    return _Photos(person, masked, np.stack(embedding))


def _count(making: Making, unit: Unit, counts: _Counts) -> None:
    seen = unit.recorded.sightings
    counts.people_days += len(unit.crowd)
    counts.passages += len(unit.passages)
    counts.detectable += int(detectable(making.cameras, unit.passages).sum())
    counts.recorded_passages += len(np.unique(unit.recorded.passage))
    counts.sightings += len(seen)
    counts.published += int(seen.published.sum())
    counts.masked += int(seen.masked.sum())
    counts.visible += float(seen.visible_share.sum())


def _compare(making: Making, unit: Unit, photos: _Photos, cosines: dict[str, list[F32]]) -> None:
    """Add cosines of one sighting of each person and mask state with all others' photos."""
    seen, row = unit.recorded.sightings, unit.recorded.row
    once = np.zeros(len(row), bool)
    once[np.unique(row * 2 + seen.masked, return_index=True)[1]] = True
    for some, embedding in making.embeddings(unit):
        person = unit.crowd.person[row[some]]
        for masked in (False, True):
            mine = once[some] & (seen.masked[some] == masked)
            for photo in (False, True):
                theirs = photos.masked == photo
                found = embedding[mine] @ photos.embedding[theirs].T
                strange = person[mine][:, None] != photos.person[theirs]
                cosines[_pair(photo, masked)].append(found[strange])


def _pair(photo: bool, seen: bool) -> str:
    if photo != seen:
        return "masked-unmasked"
    return "masked-masked" if photo else "unmasked-unmasked"


def _told(plan: CityPlan, counts: _Counts, cosines: Mapping[str, F32]) -> dict[str, Any]:
    days = max(counts.people_days, 1)
    all_days = plan.people * plan.days
    per_day = counts.sightings / days * plan.people
    shares = {name: float((values >= ALIKE).mean()) for name, values in cosines.items()}
    masked = counts.masked / max(counts.sightings, 1)
    # Sightings that resemble a photo of their own mask state, and one of the other state.
    same = (1 - masked) * shares["unmasked-unmasked"] + masked * shares["masked-masked"]
    bare = (1 - masked) * shares["unmasked-unmasked"] + masked * shares["masked-unmasked"]
    both = same + shares["masked-unmasked"]
    return {
        "sightings_counted": counts.sightings,
        "of_all_people_days": round(days / all_days, 4),
        "sightings_per_camera_day": round(per_day / plan.cameras, 1),
        "sightings_per_person_day": round(counts.sightings / days, 2),
        "passages_per_person_day": round(counts.passages / days, 2),
        "detectable_per_person_day": round(counts.detectable / days, 2),
        "missed_share": round(1 - counts.recorded_passages / max(counts.detectable, 1), 4),
        "published_share": round(counts.published / max(counts.sightings, 1), 4),
        "masked_share": round(masked, 4),
        "visible_share": round(counts.visible / max(counts.sightings, 1), 4),
        "look_alikes_per_case_day": round(both * per_day, 1),
        "look_alikes_of_one_bare_photo": round(bare * per_day, 1),
        "impostors": {name: _spread(values) for name, values in cosines.items()},
    }


def _spread(values: F32 | F64) -> dict[str, Any]:
    quantiles = np.quantile(values, QUANTILES) if len(values) else np.full(3, np.nan)
    return {
        "pairs": len(values),
        "mean": round(float(values.mean()), 4) if len(values) else None,
        "sd": round(float(values.std()), 4) if len(values) else None,
        "quantiles": [round(float(q), 4) for q in quantiles],
    }
