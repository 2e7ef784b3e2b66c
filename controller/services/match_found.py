"""What a search was asked and what it found: hits of the segments become a case's candidates."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from controller.domain.candidates import CandidateTable, joined
from controller.domain.match import Calibration
from controller.domain.openset import OperatingPoint
from controller.domain.types import Candidate
from controller.services.enrolment import Enrolment
from controller.services.ports import GalleryScope, Segment, SegmentHits
from wire.protection import F32

MAX_CANDIDATES: Final = 300_000
"""Candidates kept of one case; beyond it those with the least evidence are left out and counted."""


@dataclass(frozen=True, slots=True)
class MatchSettings:
    """The operating point: how many strangers per case-day may come through."""

    false_candidates_per_day: float = 20.0


@dataclass(frozen=True, slots=True)
class MatchRequest:
    """One case's search: its probes, where and when to look, and how to weigh what is found."""

    case_id: UUID
    probes: Sequence[Enrolment]
    scope: GalleryScope
    calibration: Calibration
    settings: MatchSettings = MatchSettings()

    def embeddings(self) -> F32:
        """Return the photos' embeddings, (p, 192)."""
        return np.stack([probe.embedding for probe in self.probes])


@dataclass(frozen=True, slots=True)
class Found:
    """Candidates, and among how many sightings they were found.

    `complete` is False if the search was cancelled, the case ended meanwhile or candidates were
    left out: then this is a part of the answer.
    """

    table: CandidateTable
    searched: int
    point: OperatingPoint
    complete: bool = True

    def candidates(self) -> tuple[Candidate, ...]:
        """Return the candidates as objects."""
        return self.table.candidates()


@dataclass(slots=True)
class Search:
    """One request under way."""

    request: MatchRequest
    segments: frozenset[Segment]
    searched: int
    embeddings: F32
    point: OperatingPoint
    complete: bool = True
    parts: list["Part"] = field(default_factory=list)

    def take(self, hits: SegmentHits, columns: slice) -> None:
        """Keep what concerns this case; called from the search's threads."""
        mine = hits.similarity[:, columns]
        wanted = (mine >= self.point.min_similarity.T[hits.masks]).any(axis=1)
        wanted &= _in_scope(hits, self.request.scope)
        rows = np.flatnonzero(wanted)
        if len(rows):
            self.parts.append(Part(hits, rows, mine[rows]))

    def found(self) -> Found:
        """Return the result; more than `MAX_CANDIDATES` lose those with the least evidence."""
        table = joined(list(self._tables()))
        complete = self.complete
        if len(table) > MAX_CANDIDATES:
            complete = False
            best = np.argpartition(-table.llr, MAX_CANDIDATES)[:MAX_CANDIDATES]
            table = table.rows(np.sort(best))
        return Found(table, self.searched, self.point, complete)

    def _tables(self) -> Iterator[CandidateTable]:
        """Weigh all that was found with the same variants in one go, segment by segment."""
        alike: dict[tuple[str, ...], list[Part]] = {}
        for part in self.parts:
            alike.setdefault(part.hits.variants, []).append(part)
        for variants, parts in alike.items():
            llrs = self.point.llrs(
                np.concatenate([part.cosines for part in parts]),
                np.concatenate([part.hits.masks[part.rows] for part in parts]),
                np.concatenate([part.hits.quality[part.rows] for part in parts]),
                variants,
                np.concatenate([part.hits.variant[part.rows] for part in parts]),
            )
            ends = np.cumsum([len(part.rows) for part in parts])
            for part, own in zip(parts, np.split(llrs, ends[:-1]), strict=True):
                yield part.table(own)


@dataclass(frozen=True, slots=True)
class Part:
    """What one segment gave one case: rows of its hits, with cosines to the case's photos."""

    hits: SegmentHits
    rows: NDArray[np.intp]
    cosines: F32

    def table(self, llrs: NDArray[np.float64]) -> CandidateTable:
        """Return the candidates, each with the photo that speaks most for it."""
        hits, rows, best = self.hits, self.rows, llrs.argmax(axis=1)
        each = np.arange(len(rows))
        return CandidateTable(
            ids=hits.ids[rows],
            cameras=hits.cameras,
            camera=hits.camera[rows].astype(np.int32),
            start_us=hits.start_us[rows],
            end_us=hits.end_us[rows],
            time_uncertainty_s=hits.time_uncertainty_s[rows],
            mask=hits.masks[rows],
            quality=hits.quality[rows],
            similarity=self.cosines[each, best].astype(np.float64),
            llr=llrs[each, best],
            probe=best.astype(np.int16),
        )


def _in_scope(hits: SegmentHits, scope: GalleryScope) -> NDArray[np.bool_]:
    inside = (hits.start_us <= scope.end_us) & (hits.end_us >= scope.start_us)
    if scope.camera_ids is not None:
        wanted = frozenset(scope.camera_ids)
        inside &= np.array([name in wanted for name in hits.cameras], bool)[hits.camera]
    return np.asarray(inside, bool)
