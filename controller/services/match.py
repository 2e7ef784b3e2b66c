"""Match: which sightings of the gallery are worth a look for these cases, in one scan for all."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Final, Protocol
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from controller.domain.match import Calibration
from controller.domain.openset import OperatingPoint, operating_point
from controller.services.enrolment import Enrolment
from controller.services.keys import KeyService
from controller.services.match_found import Found, MatchRequest, Search
from controller.services.ports import GalleryScope, Segment, SegmentHits, SegmentSample
from controller.services.refusals import Refusal
from wire.protection import F32
from wire.times import EPOCH_US

SEGMENTS_PER_STEP: Final = 8
"""At most so many segments between two looks at whether to go on, and two reports of progress."""
PROBES_PER_SCAN: Final = 64
SAMPLED_SEGMENTS: Final = 24
SAMPLE_ROWS: Final = 24_000
"""Sightings that each photo is compared with first, to know its own strangers."""


class SearchableGallery(Protocol):
    """The gallery as matching needs it."""

    def segments(self, scope: GalleryScope) -> Sequence[Segment]:
        """Return what a scope holds, by epoch and shard, with the number of sightings."""

    def sample(self, segment: Segment, probes: F32, count: int) -> SegmentSample | None:
        """Return exact cosines of at most `count` sightings drawn evenly over a segment."""

    def search(self, segment: Segment, probes: F32, min_similarity: F32) -> SegmentHits | None:
        """Return the sightings at or above `min_similarity` (p, 4) of (p, 192) rotated probes."""


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

    def operating_point(self, request: MatchRequest) -> OperatingPoint:
        """Return what a search would ask of each photo, without the search."""
        with ThreadPoolExecutor(self._threads, thread_name_prefix="search") as pool:
            return self._prepared(pool, [request], self._keys.known_epochs())[0].point

    def match_all(
        self, requests: Sequence[MatchRequest], *,
        progress: Progress = lambda _done, _all: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> list[Found]:  # fmt: skip
        """Search for several cases; at most 64 probes share one scan."""
        known = self._keys.known_epochs()
        searches = []
        with ThreadPoolExecutor(self._threads, thread_name_prefix="search") as pool:
            for alike in _by_scope(requests):
                searches += self._prepared(pool, alike, known)
            for group in _groups(searches):
                self._scan(pool, group, progress, cancelled)
        found = {id(search.request): search.found() for search in searches}
        return [found[id(request)] for request in requests]

    def _prepared(
        self, pool: ThreadPoolExecutor, requests: Sequence[MatchRequest], known: frozenset[int]
    ) -> list["Search"]:
        """Prepare requests of one scope, which share what is counted and sampled."""
        scope = requests[0].scope
        segments = self._gallery.segments(scope)
        able = [segment for segment in segments if segment.epoch in known]
        searched = sum(segment.rows for segment in segments)
        days = max(1.0, (scope.end_us - scope.start_us) / EPOCH_US)
        embeddings = [one.embeddings() for one in requests]
        samples, masks = self._samples(pool, requests, embeddings, able)
        points = [
            operating_point(
                request.calibration, [probe.mask_state for probe in request.probes],
                strangers_per_day=round(searched / days),
                false_per_day=request.settings.false_candidates_per_day,
                sample=sample, sample_masks=masks,
            )
            for request, sample in zip(requests, samples, strict=True)
        ]  # fmt: skip
        return [
            Search(request, frozenset(able), searched, probes, point)
            for request, probes, point in zip(requests, embeddings, points, strict=True)
        ]

    def _samples(
        self, pool: ThreadPoolExecutor, requests: Sequence[MatchRequest],
        embeddings: Sequence[F32], segments: Sequence[Segment],
    ) -> tuple[list[F32 | None], NDArray[np.uint8]]:  # fmt: skip
        """Return each request's cosines with the same sampled sightings, and their mask states."""
        chosen = segments[:: max(1, len(segments) // SAMPLED_SEGMENTS)]
        parts = [(segment.epoch, segment.shard) for segment in chosen]
        rotated = [
            self._unless_ended(one.case_id, probes, parts)
            for one, probes in zip(requests, embeddings, strict=True)
        ]
        able = [probes for probes in rotated if probes]
        if not able:
            return [None] * len(requests), np.empty(0, np.uint8)
        each = SAMPLE_ROWS // max(1, len(chosen))
        together = [np.concatenate(probes) for probes in zip(*able, strict=True)]
        found = pool.map(partial(self._gallery.sample, count=each), chosen, together)
        there = [one for one in found if one is not None]
        if not there:
            return [None] * len(requests), np.empty(0, np.uint8)
        columns = iter(np.split(
            np.concatenate([one.similarity for one in there]),
            np.cumsum([len(probes[0]) for probes in able])[:-1], axis=1,
        ))  # fmt: skip
        masks = np.concatenate([one.masks for one in there])
        return [next(columns) if probes else None for probes in rotated], masks

    def _unless_ended(
        self, case_id: UUID, embeddings: F32, parts: list[tuple[int, int]]
    ) -> list[F32]:
        """Return probes rotated for each part; none if the case or an epoch ended meanwhile."""
        try:
            return self._keys.rotate_exactly(case_id, embeddings, parts)
        except Refusal:
            return []

    def _scan(
        self, pool: ThreadPoolExecutor, searches: Sequence["Search"], progress: Progress,
        cancelled: Callable[[], bool],
    ) -> None:  # fmt: skip
        segments = sorted({s for one in searches for s in one.segments}, reverse=True)
        each = min(SEGMENTS_PER_STEP, -(-len(segments) // (4 * self._threads)) or 1)
        steps = [segments[i : i + each] for i in range(0, len(segments), each)]
        total, done = sum(segment.rows for segment in segments), 0
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

    def _step(self, searches: Sequence["Search"], step: Sequence[Segment]) -> None:
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

    def _rotated(self, search: "Search", step: Sequence[Segment]) -> list[F32]:
        parts = [(segment.epoch, segment.shard) for segment in step]
        rotated = self._unless_ended(search.request.case_id, search.embeddings, parts)
        if not rotated:
            # The other cases go on.
            search.complete = False
        return rotated


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


def _by_scope(requests: Sequence[MatchRequest]) -> list[list[MatchRequest]]:
    alike: dict[GalleryScope, list[MatchRequest]] = {}
    for request in requests:
        alike.setdefault(request.scope, []).append(request)
    return list(alike.values())


def _groups(searches: Sequence[Search]) -> Iterator[list[Search]]:
    group: list[Search] = []
    for search in searches:
        probes = sum(len(one.embeddings) for one in group)
        if group and probes + len(search.embeddings) > PROBES_PER_SCAN:
            yield group
            group = []
        group.append(search)
    if group:
        yield group


def _collect(running: dict[Future[None], int]) -> int:
    finished, _ = wait(running, return_when=FIRST_COMPLETED)
    rows = 0
    for job in finished:
        rows += running.pop(job)
        job.result()
    return rows
