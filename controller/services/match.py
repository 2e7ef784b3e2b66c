"""Match: which sightings of the gallery are worth a look for this case."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from controller.domain.match import Calibration
from controller.domain.types import Candidate
from controller.services.enrolment import Enrolment
from controller.services.keys import KeyService
from controller.services.ports import GalleryScope, GallerySlice
from wire.protection import F32, dequantise
from wire.times import EPOCH_US

MASK_STATES: Final = ("masked", "unmasked", "unsure")


class SearchableGallery(Protocol):
    """The gallery as matching needs it."""

    def days(self, scope: GalleryScope) -> list[tuple[int, int, int]]:
        """Return (epoch, shard, sightings) of what a scope holds."""

    def scan(self, scope: GalleryScope) -> Iterator[GallerySlice]:
        """Yield the scope's sightings, each once, in slices of one epoch and shard."""


@dataclass(frozen=True, slots=True)
class MatchSettings:
    """The operating point: how many strangers per case-day may come through."""

    false_candidates_per_day: float = 20.0


@dataclass(frozen=True, slots=True)
class Found:
    """Candidates, and among how many sightings they were found."""

    candidates: tuple[Candidate, ...]
    searched: int


class Matcher:
    """Searches for one case at a time; never holds a key, only rotated probes."""

    def __init__(self, gallery: SearchableGallery, keys: KeyService) -> None:
        self._gallery = gallery
        self._keys = keys

    def match(
        self,
        case_id: UUID,
        probes: Sequence[Enrolment],
        scope: GalleryScope,
        calibration: Calibration,
        settings: MatchSettings,
    ) -> Found:
        """Return the sightings above the operating point, and how many were searched."""
        searched = sum(count for _, _, count in self._gallery.days(scope))
        days = max(1.0, (scope.end_us - scope.start_us) / EPOCH_US)
        thresholds = _thresholds(
            probes, calibration, strangers=round(searched / days),
            false_candidates=settings.false_candidates_per_day,
        )  # fmt: skip
        known = self._keys.known_epochs()
        embeddings = np.stack([probe.embedding for probe in probes])
        candidates: list[Candidate] = []
        for one in self._gallery.scan(scope):
            if one.epoch not in known:
                continue
            rotated = self._keys.rotate_probe(case_id, embeddings, epoch=one.epoch, shard=one.shard)
            cosines = dequantise(one.templates) @ dequantise(rotated).T
            candidates += _select(one, cosines, probes, thresholds, calibration)
        return Found(tuple(candidates), searched)


def best_llr(
    cosines: Sequence[float], probes: Sequence[Enrolment], mask_state: str, calibration: Calibration
) -> tuple[float, float]:
    """Return (similarity, llr) of the probe that speaks most for this being the subject."""
    pairs = [
        (calibration.llr(cosine, probe.mask_state, mask_state), cosine)
        for cosine, probe in zip(cosines, probes, strict=True)
    ]
    llr, similarity = max(pairs)
    return similarity, llr


def _thresholds(
    probes: Sequence[Enrolment], calibration: Calibration, *, strangers: int,
    false_candidates: float,
) -> dict[str, F32]:  # fmt: skip
    # Each probe is a chance of its own for a stranger, so they share the allowance.
    share = false_candidates / len(probes)
    return {
        state: np.array(
            [
                calibration.pair(probe.mask_state, state).threshold(
                    strangers=strangers, false_candidates=share
                )
                for probe in probes
            ],
            np.float32,
        )
        for state in MASK_STATES
    }


def _select(
    one: GallerySlice, cosines: F32, probes: Sequence[Enrolment], thresholds: dict[str, F32],
    calibration: Calibration,
) -> list[Candidate]:  # fmt: skip
    states = np.array([s if s in thresholds else "unsure" for s in one.mask_states])
    limits = np.stack([thresholds[state] for state in MASK_STATES])
    row = np.searchsorted(np.array(MASK_STATES), states)
    chosen: NDArray[np.intp] = np.flatnonzero((cosines >= limits[row]).any(axis=1))
    return [_candidate(one, int(i), cosines[i], probes, calibration) for i in chosen]


def _candidate(
    one: GallerySlice, i: int, cosines: F32, probes: Sequence[Enrolment], calibration: Calibration
) -> Candidate:
    values = [float(value) for value in cosines]
    similarity, llr = best_llr(values, probes, one.mask_states[i], calibration)
    return Candidate(
        sighting_id=one.ids[i],
        camera_id=one.camera_ids[i],
        start_us=int(one.start_us[i]),
        end_us=int(one.end_us[i]),
        time_uncertainty_s=float(one.time_uncertainty_s[i]),
        similarity=similarity,
        llr=llr,
        mask_state=one.mask_states[i],
        quality=float(one.quality[i]),
    )
