"""Expected and observed false candidates, on invented people with the real model's statistics."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from controller.adapters.calibrations import load_calibration
from controller.domain.candidates import MASK_STATES
from controller.domain.openset import OperatingPoint, operating_point
from sim.faces import FacePopulation

SPACE: Final = "mfn192-arc5-w2"
CITY_PER_DAY: Final = 21_600_000
OPERATING: Final = (20.0, 200.0, 2_000.0, 20_000.0)
"""Expected false candidates per case-day in a city of 21.6 million sightings a day."""
MASKED_SHARE: Final = 0.6
BLOCK: Final = 100_000
SAMPLE: Final = 24_000
F32 = NDArray[np.float32]


def openset(sightings: int = 4_000_000, cases: int = 60, seed: int = 11) -> dict[str, object]:
    """Count strangers above the thresholds that were set for an expected number of them."""
    rng = np.random.default_rng(seed)
    faces = FacePopulation(seed)
    photos, masks, owner = _photos(faces, rng, cases)
    sample, sample_masks = _strangers(faces, rng, SAMPLE)
    points = _points(photos, masks, owner, sample @ photos.T, sample_masks)
    packaged = _points(photos, masks, owner, None, None)
    observed = dict.fromkeys(OPERATING, 0)
    observed_packaged = dict.fromkeys(OPERATING, 0)
    for _ in range(sightings // BLOCK):
        rows, states = _strangers(faces, rng, BLOCK)
        cosines = rows @ photos.T
        for name, counted in ((points, observed), (packaged, observed_packaged)):
            for false_per_day, of_case in name.items():
                counted[false_per_day] += _passing(of_case, owner, cosines, states)
    days = sightings / CITY_PER_DAY * cases
    return {
        "sightings": sightings, "cases": cases, "photos": len(photos), "case_days": round(days, 2),
        "points": [
            {
                "expected_per_case_day": expected,
                "observed_per_case_day": round(observed[expected] / days, 1),
                "ratio": round(observed[expected] / days / expected, 3),
                "counted": observed[expected],
                "ratio_without_self_calibration": round(
                    observed_packaged[expected] / days / expected, 3
                ),
            }
            for expected in OPERATING
        ],
    }  # fmt: skip


def _photos(
    faces: FacePopulation, rng: np.random.Generator, cases: int
) -> tuple[F32, list[str], NDArray[np.intp]]:
    people = faces.people(rng, cases)
    owner = np.repeat(np.arange(cases), rng.integers(1, 4, cases))
    # Every tenth photo shows the person with a mask on.
    masks = ["masked" if i % 10 == 9 else "unmasked" for i in range(len(owner))]
    masked = np.array([mask == "masked" for mask in masks])[:, None]
    directions = np.where(masked, people.masked[owner], people.unmasked[owner])
    return faces.sightings(rng, directions, "unmasked", np.full(len(owner), 0.9)), masks, owner


def _strangers(
    faces: FacePopulation, rng: np.random.Generator, count: int
) -> tuple[F32, NDArray[np.uint8]]:
    people = faces.people(rng, count)
    masked = rng.random(count) < MASKED_SHARE
    quality = rng.beta(3, 2.5, count)
    rows = np.where(
        masked[:, None],
        faces.sightings(rng, people.masked, "masked", quality),
        faces.sightings(rng, people.unmasked, "unmasked", quality),
    )
    codes = np.where(masked, MASK_STATES.index("masked"), MASK_STATES.index("unmasked"))
    return rows, codes.astype(np.uint8)


def _points(
    photos: F32, masks: list[str], owner: NDArray[np.intp], sample: F32 | None,
    sample_masks: NDArray[np.uint8] | None,
) -> dict[float, list[OperatingPoint]]:  # fmt: skip
    calibration = load_calibration(SPACE)
    return {
        false_per_day: [
            operating_point(
                calibration, [masks[i] for i in np.flatnonzero(owner == case)],
                strangers_per_day=CITY_PER_DAY, false_per_day=false_per_day,
                sample=None if sample is None else sample[:, owner == case],
                sample_masks=sample_masks,
            )
            for case in range(owner.max() + 1)
        ]
        for false_per_day in OPERATING
    }  # fmt: skip


def _passing(
    points: list[OperatingPoint], owner: NDArray[np.intp], cosines: F32, states: NDArray[np.uint8]
) -> int:
    limits = np.concatenate([point.min_similarity for point in points])
    above = cosines >= limits[:, states].T
    return sum(int(above[:, owner == case].any(axis=1).sum()) for case in range(len(points)))
