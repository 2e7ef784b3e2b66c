"""Several cases in one scan find what each would find alone, and no more than is theirs."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import numpy as np
import pytest

from controller.domain.match import Calibration, PairModel
from controller.services.enrolment import Enrolment
from controller.services.match import Matcher
from controller.services.match_found import Found, MatchRequest, MatchSettings
from controller.services.match_together import SharedMatcher
from controller.services.ports import GalleryScope, Segment, SegmentHits, SegmentSample
from controller.services.refusals import Refusal
from wire.protection import F32

DAY_US = 86_400_000_000
SPACE = "space"
PAIR = PairModel(0.0, 0.1, 0.7, 0.1)
CALIBRATION = Calibration(
    dict.fromkeys(("unmasked-unmasked", "masked-unmasked", "masked-masked"), PAIR)
)


def unit(vectors: np.ndarray) -> F32:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32)


@dataclass
class PlainKeys:
    """Keys that turn by nothing; some cases are closed."""

    closed: set[UUID] = field(default_factory=set)
    epochs: frozenset[int] = frozenset(range(100))
    asked: list[UUID] = field(default_factory=list)

    def known_epochs(self) -> frozenset[int]:
        return self.epochs

    def rotate_exactly(
        self, case_id: UUID, embeddings: F32, parts: Sequence[tuple[int, int]]
    ) -> list[F32]:
        self.asked.append(case_id)
        if case_id in self.closed:
            raise Refusal("case", "is closed")
        return [embeddings for _ in parts]


@dataclass
class ListGallery:
    """Segments of rows in memory, searched one by one."""

    rows: dict[tuple[int, int], F32]
    gone: set[tuple[int, int]] = field(default_factory=set)
    searches: int = 0

    def segments(self, scope: GalleryScope) -> list[Segment]:
        return [
            Segment(epoch, shard, SPACE, len(rows))
            for (epoch, shard), rows in self.rows.items()
            if scope.start_us < (epoch + 1) * DAY_US and epoch * DAY_US <= scope.end_us
        ]

    def sample(self, segment: Segment, probes: F32, count: int) -> SegmentSample:
        rows = self.rows[segment.epoch, segment.shard][:count]
        return SegmentSample((rows @ probes.T).astype(np.float32), np.zeros(len(rows), np.uint8))

    def search(self, segment: Segment, probes: F32, min_similarity: F32) -> SegmentHits | None:
        self.searches += 1
        if (segment.epoch, segment.shard) in self.gone:
            return None
        rows = self.rows[segment.epoch, segment.shard]
        cosines = rows @ probes.T
        hit = np.flatnonzero((cosines >= min_similarity[:, 0]).any(axis=1))
        ids = [bytes([segment.epoch, segment.shard]) + int(i).to_bytes(14, "big") for i in hit]
        start = segment.epoch * DAY_US + hit.astype(np.int64) * 1_000_000
        return SegmentHits(
            ids=np.array(ids, "S16").view("V16") if ids else np.empty(0, "V16"),
            cameras=("cam-a", "cam-b"),
            camera=(hit % 2).astype(np.uint16),
            variants=("float",),
            variant=np.zeros(len(hit), np.uint8),
            start_us=start,
            end_us=start + 1,
            time_uncertainty_s=np.full(len(hit), 0.1),
            masks=np.zeros(len(hit), np.uint8),
            quality=np.full(len(hit), 0.5),
            similarity=cosines[hit].astype(np.float32),
        )


@pytest.fixture
def gallery() -> ListGallery:
    rng = np.random.default_rng(0)
    rows = unit(rng.standard_normal((30, 192)))
    return ListGallery({(day, shard): rows for day in range(3) for shard in range(4)})


def request(
    gallery: ListGallery, number: int, *, days: int = 3, cameras: tuple[str, ...] | None = None
) -> MatchRequest:
    probe = gallery.rows[0, 0][number]
    return MatchRequest(
        UUID(int=number + 1),
        [Enrolment(probe, SPACE, "float", "unmasked", 0.1, 0.9)],
        GalleryScope(0, days * DAY_US - 1, SPACE, cameras),
        CALIBRATION,
        MatchSettings(1e-6),
    )


def ids(found: Found) -> list[bytes]:
    return [one.tobytes() for one in found.table.ids]


def test_cases_that_share_a_scan_find_what_each_finds_alone(gallery: ListGallery) -> None:
    requests = [request(gallery, i, days=1 + i % 3) for i in range(6)]
    alone = [Matcher(gallery, PlainKeys(), threads=1).match(one) for one in requests]
    before = gallery.searches
    together = Matcher(gallery, PlainKeys(), threads=2).match_all(requests)
    assert gallery.searches - before == 12
    assert [ids(one) for one in together] == [ids(one) for one in alone]
    assert all(one.complete for one in together)
    assert [len(one.table) for one in together] == [4 * (1 + i % 3) for i in range(6)]


def test_candidates_come_in_order_of_time_and_inside_the_scope_only(gallery: ListGallery) -> None:
    found = Matcher(gallery, PlainKeys()).match(request(gallery, 4, cameras=("cam-a",)))
    assert [one.camera_id for one in found.candidates()] == ["cam-a"] * 12
    starts = [one.start_us for one in found.candidates()]
    assert starts == sorted(starts)
    elsewhere = Matcher(gallery, PlainKeys()).match(request(gallery, 4, cameras=("cam-b",)))
    assert len(elsewhere.table) == 0


def test_a_case_that_is_closed_meanwhile_gets_nothing_and_the_others_all(
    gallery: ListGallery,
) -> None:
    requests = [request(gallery, i) for i in range(3)]
    keys = PlainKeys(closed={requests[1].case_id})
    found = Matcher(gallery, keys).match_all(requests)
    assert [one.complete for one in found] == [True, False, True]
    assert [len(one.table) for one in found] == [12, 0, 12]


def test_a_day_that_is_purged_meanwhile_makes_the_answer_a_part(gallery: ListGallery) -> None:
    gallery.gone = {(0, s) for s in range(4)}
    found = Matcher(gallery, PlainKeys()).match(request(gallery, 1))
    assert not found.complete
    assert len(found.table) == 8


def test_a_day_without_a_key_is_not_searched(gallery: ListGallery) -> None:
    found = Matcher(gallery, PlainKeys(epochs=frozenset({2}))).match(request(gallery, 1))
    assert len(found.table) == 4


def test_cancelling_keeps_what_was_found_and_says_so(gallery: ListGallery) -> None:
    told: list[tuple[int, int]] = []
    found = Matcher(gallery, PlainKeys(), threads=1).match(
        request(gallery, 1), progress=lambda d, t: told.append((d, t)),
        cancelled=lambda: gallery.searches > 0,
    )  # fmt: skip
    assert not found.complete
    assert len(found.table) < 12
    assert told[-1][0] <= told[-1][1] == 360


def test_the_last_word_of_progress_is_all(gallery: ListGallery) -> None:
    told: list[tuple[int, int]] = []
    Matcher(gallery, PlainKeys()).match(
        request(gallery, 1), progress=lambda d, t: told.append((d, t))
    )
    assert told[-1] == (360, 360)


def test_cases_that_come_while_a_scan_runs_share_the_next(gallery: ListGallery) -> None:
    first_runs, go_on = threading.Event(), threading.Event()
    real = gallery.search

    def slow(segment: Segment, probes: F32, least: F32) -> SegmentHits | None:
        first_runs.set()
        assert go_on.wait(10)
        return real(segment, probes, least)

    gallery.search = slow  # type: ignore[method-assign]
    shared = SharedMatcher(Matcher(gallery, PlainKeys(), threads=1))
    results: dict[int, Found] = {}

    def case(number: int) -> None:
        results[number] = shared.match(request(gallery, number))

    threads = [threading.Thread(target=case, args=(i,)) for i in range(5)]
    threads[0].start()
    assert first_runs.wait(10)
    for thread in threads[1:]:
        thread.start()
    while len(shared._waiting) < 4:
        pass
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert {n: len(found.table) for n, found in results.items()} == dict.fromkeys(range(5), 12)
    assert gallery.searches == 24  # two scans of twelve segments


def test_a_scan_that_fails_fails_for_all_who_waited_and_the_next_one_works(
    gallery: ListGallery,
) -> None:
    shared = SharedMatcher(Matcher(gallery, PlainKeys()))
    real = gallery.search

    def broken(segment: Segment, probes: F32, least: F32) -> SegmentHits | None:
        raise OSError("disk gone")

    gallery.search = broken  # type: ignore[method-assign]
    with pytest.raises(OSError, match="disk gone"):
        shared.match(request(gallery, 0))
    gallery.search = real  # type: ignore[method-assign]
    assert len(shared.match(request(gallery, 0)).table) == 12
