"""The faces that a box has seen, as statistics only: what a field adaptation is learned from."""

import threading
from typing import Final

from agent.store import Store
from agent.vision.adaptation import (
    SIZE,
    CohortStatistics,
    FaceStatistics,
    statistics_from_bytes,
    statistics_to_bytes,
)
from agent.vision.types import FinishedTracklet

MIN_QUALITY: Final = 0.1
MAX_FACES: Final = 50_000
"""From this count on an old face counts half, so that the statistics follow the street."""


class CohortCounter:
    """Count one face a tracklet; kept in the encrypted store, never sent by itself."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        saved = store.load_cohort()
        self._cohort = statistics_from_bytes(saved) if saved else empty_cohort()

    def add(self, tracklet: FinishedTracklet) -> None:
        """Count a tracklet's face, if it is good enough and its mask state is known."""
        raw, state = tracklet.raw_embedding, tracklet.mask_state
        if raw is None or state == "unsure" or tracklet.quality < MIN_QUALITY:
            return
        face = FaceStatistics.of(raw[None])
        with self._lock:
            old = self._cohort
            masked, unmasked = old.masked, old.unmasked
            if state == "masked":
                masked = _faded(masked).joined(face)
            else:
                unmasked = _faded(unmasked).joined(face)
            self._cohort = CohortStatistics(unmasked, masked, old.mask_scatter)

    def save(self) -> None:
        """Keep the statistics over a restart."""
        with self._lock:
            self._store.save_cohort(statistics_to_bytes(self._cohort))

    @property
    def counts(self) -> tuple[int, int]:
        """Return how many unmasked and masked faces count."""
        with self._lock:
            return self._cohort.unmasked.count, self._cohort.masked.count


def empty_cohort() -> CohortStatistics:
    """Return the statistics of nobody."""
    nobody = FaceStatistics.empty()
    return CohortStatistics(nobody, nobody, nobody.covariance.reshape(SIZE, SIZE))


def _faded(seen: FaceStatistics) -> FaceStatistics:
    if seen.count < MAX_FACES:
        return seen
    return FaceStatistics(seen.count // 2, seen.mean, seen.covariance)
