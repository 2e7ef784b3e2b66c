"""Match: which sightings of the gallery are worth a look for these cases, in one scan for all."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Final, Protocol
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from controller.domain.candidates import CandidateTable, joined
from controller.domain.match import Calibration
from controller.domain.openset import OperatingPoint, operating_point
from controller.domain.types import Candidate
from controller.services.enrolment import Enrolment
from controller.services.keys import KeyService
from controller.services.ports import GalleryScope, Segment, SegmentHits, SegmentSample
from controller.services.refusals import Refusal
from wire.protection import F32
from wire.times import EPOCH_US

SEGMENTS_PER_STEP: Final = 8
"""Segments between two looks at whether to go on, and between two reports of progress."""
PROBES_PER_SCAN: Final = 64
SAMPLED_SEGMENTS: Final = 24
SAMPLE_ROWS: Final = 24_000
"""Sightings that each photo is compared with first, to know its own strangers."""
MAX_CANDIDATES: Final = 300_000
"""Candidates kept of one case; beyond it those with the least evidence are left out and counted."""


class SearchableGallery(Protocol):
    """The gallery as matching needs it."""

    def segments(self, scope: GalleryScope) -> Sequence[Segment]:
        """Return what a scope holds, by epoch and shard, with the number of sightings."""

    def sample(self, segment: Segment, probes: F32, count: int) -> SegmentSample | None:
        """Return exact cosines of at most `count` sightings drawn evenly over a segment."""

    def search(self, segment: Segment, probes: F32, min_similarity: F32) -> SegmentHits | None:
        """Return the sightings at or above `min_similarity` (p, 4) of (p, 192) rotated probes."""


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


Progress = Callable[[int, int], None]
"""Told how many sightings are searched, and of how many."""


class Matcher:
    """Searches for one or more cases in one scan; never holds a key, only rotated probes."""

    def __init__(
        self, gallery: SearchableGallery, keys: KeyService, *, threads: int | None = None
    ) -> None:
        self._gallery, self._keys = gallery, keys
        self._threads = threads or os.cpu_count() or 1

    def match(
        self, request: MatchRequest, *, progress: Progress = lambda _done, _all: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Found:  # fmt: skip
        """Return the sightings above the operating point, and how many were searched."""
        return self.match_all([request], progress=progress, cancelled=cancelled)[0]

    def match_all(
        self, requests: Sequence[MatchRequest], *,
        progress: Progress = lambda _done, _all: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> list[Found]:  # fmt: skip
        """Search for several cases; at most 64 probes share one scan."""
        known = self._keys.known_epochs()
        searches = [self._prepared(one, known) for one in requests]
        for group in _groups(searches):
            self._scan(group, progress, cancelled)
        return [search.found() for search in searches]

    def _prepared(self, request: MatchRequest, known: frozenset[int]) -> "_Search":
        segments = self._gallery.segments(request.scope)
        embeddings = np.stack([probe.embedding for probe in request.probes])
        able = [segment for segment in segments if segment.epoch in known]
        searched = sum(segment.rows for segment in segments)
        days = max(1.0, (request.scope.end_us - request.scope.start_us) / EPOCH_US)
        sample, masks = self._sample(request.case_id, embeddings, able)
        point = operating_point(
            request.calibration, [probe.mask_state for probe in request.probes],
            strangers_per_day=round(searched / days),
            false_per_day=request.settings.false_candidates_per_day,
            sample=sample, sample_masks=masks,
        )  # fmt: skip
        return _Search(request, frozenset(able), searched, embeddings, point)

    def _sample(
        self, case_id: UUID, embeddings: F32, segments: Sequence[Segment]
    ) -> tuple[F32, NDArray[np.uint8]]:
        chosen = segments[:: max(1, len(segments) // SAMPLED_SEGMENTS)]
        try:
            parts = [(segment.epoch, segment.shard) for segment in chosen]
            rotated = self._keys.rotate_exactly(case_id, embeddings, parts)
        except Refusal:
            # An ended case is found out again, and reported, when the scan asks for its probes.
            rotated = []
        samples = [
            self._gallery.sample(segment, probes, SAMPLE_ROWS // len(chosen))
            for segment, probes in zip(chosen, rotated, strict=False)
        ]
        there = [one for one in samples if one is not None]
        empty = np.empty((0, len(embeddings)), np.float32)
        return (
            np.concatenate([empty, *(one.similarity for one in there)]),
            np.concatenate([np.empty(0, np.uint8), *(one.masks for one in there)]),
        )

    def _scan(
        self, searches: Sequence["_Search"], progress: Progress, cancelled: Callable[[], bool]
    ) -> None:
        segments = sorted({s for one in searches for s in one.segments}, reverse=True)
        steps = [
            segments[i : i + SEGMENTS_PER_STEP] for i in range(0, len(segments), SEGMENTS_PER_STEP)
        ]
        total, done = sum(segment.rows for segment in segments), 0
        with ThreadPoolExecutor(self._threads, thread_name_prefix="search") as pool:
            running: dict[Future[None], int] = {}
            for step in steps:
                if len(running) > self._threads:
                    done += _collect(running)
                    progress(done, total)
                if cancelled():
                    for search in searches:
                        search.complete = False
                    break
                job = pool.submit(self._step, searches, step)
                running[job] = sum(segment.rows for segment in step)
            while running:
                done += _collect(running)
                progress(done, total)

    def _step(self, searches: Sequence["_Search"], step: Sequence[Segment]) -> None:
        rotated = [self._rotated(search, step) for search in searches]
        for number, segment in enumerate(step):
            able = [
                (search, probes[number])
                for search, probes in zip(searches, rotated, strict=True)
                if probes and segment in search.segments
            ]
            if not able:
                continue
            hits = self._gallery.search(
                segment,
                np.concatenate([probes for _, probes in able]),
                np.concatenate([search.point.min_similarity for search, _ in able]),
            )
            at = 0
            for search, probes in able:
                if hits is None:
                    search.complete = False
                else:
                    search.take(hits, slice(at, at + len(probes)))
                at += len(probes)

    def _rotated(self, search: "_Search", step: Sequence[Segment]) -> list[F32]:
        parts = [(segment.epoch, segment.shard) for segment in step]
        try:
            return self._keys.rotate_exactly(search.request.case_id, search.embeddings, parts)
        except Refusal:
            # The case or an epoch ended while we searched; the other cases go on.
            search.complete = False
            return []


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


@dataclass(slots=True)
class _Search:
    """One request under way."""

    request: MatchRequest
    segments: frozenset[Segment]
    searched: int
    embeddings: F32
    point: OperatingPoint
    complete: bool = True
    tables: list[CandidateTable] = field(default_factory=list)

    def take(self, hits: SegmentHits, columns: slice) -> None:
        """Keep what concerns this case; called from the search's threads."""
        mine = hits.similarity[:, columns]
        wanted = (mine >= self.point.min_similarity.T[hits.masks]).any(axis=1)
        wanted &= _in_scope(hits, self.request.scope)
        rows = np.flatnonzero(wanted)
        if len(rows):
            self.tables.append(self._table(hits, rows, mine[rows]))

    def found(self) -> Found:
        """Return the result; more than `MAX_CANDIDATES` lose those with the least evidence."""
        table = joined(self.tables)
        complete = self.complete
        if len(table) > MAX_CANDIDATES:
            complete = False
            best = np.argpartition(-table.llr, MAX_CANDIDATES)[:MAX_CANDIDATES]
            table = table.rows(np.sort(best))
        return Found(table, self.searched, self.point, complete)

    def _table(self, hits: SegmentHits, rows: NDArray[np.intp], cosines: F32) -> CandidateTable:
        llrs = self.point.llrs(
            cosines, hits.masks[rows], hits.quality[rows], hits.variants, hits.variant[rows]
        )
        best = llrs.argmax(axis=1)
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
            similarity=cosines[each, best].astype(np.float64),
            llr=llrs[each, best],
            probe=best.astype(np.int16),
        )


def _groups(searches: Sequence[_Search]) -> Iterator[list[_Search]]:
    group: list[_Search] = []
    for search in searches:
        probes = sum(len(one.embeddings) for one in group)
        if group and probes + len(search.embeddings) > PROBES_PER_SCAN:
            yield group
            group = []
        group.append(search)
    if group:
        yield group


def _in_scope(hits: SegmentHits, scope: GalleryScope) -> NDArray[np.bool_]:
    inside = (hits.start_us <= scope.end_us) & (hits.end_us >= scope.start_us)
    if scope.camera_ids is not None:
        wanted = frozenset(scope.camera_ids)
        inside &= np.array([name in wanted for name in hits.cameras], bool)[hits.camera]
    return np.asarray(inside, bool)


def _collect(running: dict[Future[None], int]) -> int:
    finished, _ = wait(running, return_when=FIRST_COMPLETED)
    rows = 0
    for job in finished:
        rows += running.pop(job)
        job.result()
    return rows
