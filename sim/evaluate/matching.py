"""The search of one case in process: the same calibration and operating point as the controller."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from controller.domain.candidates import CandidateTable
from controller.domain.match import Calibration
from controller.domain.openset import OperatingPoint, operating_point
from controller.domain.trace_faces import FaceScores, read_faces
from controller.domain.types import F32
from sim.evaluate.settings import EvaluateSettings
from sim.evaluate.world import World

OWN_STRANGERS: Final = 0.02
"""By how much a photo's own threshold may lie below that of the packaged calibration."""


@dataclass(frozen=True, slots=True)
class Search:
    """One case against everything: which tracklets pass in the city, and which locally."""

    cosines: F32
    point: OperatingPoint
    passes: NDArray[np.bool_]
    passes_locally: NDArray[np.bool_]


def search(world: World, case: int, calibration: Calibration, settings: EvaluateSettings) -> Search:
    """Return which tracklets are candidates at the city's and at one agent's operating point."""
    cosines = world.cosines(case, settings.photos)
    sample, masks = world.stranger_sample(case, settings.photos)
    per_day = max(round(world.sightings_per_day), 1)

    def at(share: float) -> OperatingPoint:
        return operating_point(
            calibration, settings.photos, strangers_per_day=per_day, false_per_day=share * per_day,
            sample=sample, sample_masks=masks,
        )  # fmt: skip

    point = at(settings.candidate_share)
    passes = _passing(point, cosines, world.seen.masked)
    return Search(
        cosines, point, passes & world.seen.published,
        _passing(at(settings.local), cosines, world.seen.masked),
    )  # fmt: skip


def least_of(settings: EvaluateSettings, calibration: Calibration) -> float | None:
    """Return the cosine below which nothing passes even locally; None where all is kept."""
    if not settings.large:
        return None
    share = settings.local / len(settings.photos)
    limits = [
        one.threshold(strangers=1, false_candidates=share) for one in calibration.pairs.values()
    ]
    return min(limits) - OWN_STRANGERS


def table_of_rows(
    world: World, found: Search, rows: NDArray[np.int64]
) -> tuple[CandidateTable, FaceScores]:
    """Return the rows of the city as candidates; row r has the id r + 1."""
    seen = world.seen
    masks = seen.masked[rows].astype(np.uint8)
    cosines = found.cosines[rows]
    llr, scores = read_faces(found.point, cosines, masks, seen.quality[rows])
    best = cosines.argmax(axis=1) if len(rows) else np.empty(0, np.int64)
    ids = np.zeros((len(rows), 2), ">u8")
    ids[:, 1] = rows + 1
    table = CandidateTable(
        ids=ids.view("V16").ravel(),
        cameras=world.graph.camera_ids,
        camera=seen.camera[rows],
        start_us=seen.start_us[rows],
        end_us=seen.end_us[rows],
        time_uncertainty_s=seen.time_uncertainty_s[rows],
        mask=masks,
        quality=seen.quality[rows],
        similarity=cosines[np.arange(len(rows)), best].astype(np.float64),
        llr=llr,
        probe=best.astype(np.int16),
    )
    return table, scores


def _passing(point: OperatingPoint, cosines: F32, masked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    least = point.min_similarity[:, masked.astype(np.intp)].T
    return np.asarray((cosines >= least).any(axis=1))
