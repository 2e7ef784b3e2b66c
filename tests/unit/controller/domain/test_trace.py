"""From look-alikes to one feasible trace."""

from itertools import pairwise
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.domain.match import Calibration
from controller.domain.trace import TraceSettings, feasible, trace
from controller.domain.types import CameraSite, Candidate

CALIBRATION = Calibration.from_mapping(
    {
        pair: {"impostor_mean": 0.0, "impostor_sd": 0.14, "genuine_mean": mean, "genuine_sd": 0.15}
        for pair, mean in (
            ("unmasked-unmasked", 0.72), ("masked-unmasked", 0.35), ("masked-masked", 0.7),
        )
    }
)  # fmt: skip
SITES = {
    f"cam-{k}": CameraSite(f"cam-{k}", f"box-{k}", 200.0 * (k % 4), 200.0 * (k // 4))
    for k in range(12)
}
SETTINGS = TraceSettings(sightings_searched=20_000)
MINUTE = 60_000_000


def seen(camera: int, minute: float, similarity: float, *, lasts_s: float = 30.0) -> Candidate:
    start = round(minute * MINUTE)
    return Candidate(
        sighting_id=UUID(int=(camera << 96) + start + 1), camera_id=f"cam-{camera}",
        start_us=start, end_us=start + round(lasts_s * 1e6), time_uncertainty_s=0.5,
        similarity=similarity, llr=CALIBRATION.llr(similarity, "unmasked", "unmasked"),
        mask_state="unmasked", quality=0.7,
    )  # fmt: skip


WALK = [seen(0, 0, 0.74), seen(1, 6, 0.70), seen(2, 13, 0.78)]


def test_a_feasible_walk_is_accepted_in_order() -> None:
    found = trace(WALK, SITES, SETTINGS)
    assert [v.camera_id for v in found.visits] == ["cam-0", "cam-1", "cam-2"]
    assert min(v.posterior for v in found.visits) > 0.99


def test_a_weak_look_alike_out_of_the_blue_is_not_accepted() -> None:
    found = trace([*WALK, seen(9, 20, 0.45)], SITES, SETTINGS)
    assert [v.camera_id for v in found.visits] == ["cam-0", "cam-1", "cam-2"]


def test_a_good_look_alike_at_an_impossible_time_is_not_accepted() -> None:
    found = trace([*WALK, seen(11, 6.2, 0.62)], SITES, SETTINGS)
    assert "cam-11" not in [v.camera_id for v in found.visits]


def test_nobody_is_found_where_there_are_only_strangers() -> None:
    strangers = [seen(k, 3 * k, 0.30 + 0.015 * k) for k in range(10)]
    assert trace(strangers, SITES, SETTINGS).visits == ()


def test_sightings_of_one_stay_become_one_visit_even_where_one_is_weak() -> None:
    stay = [seen(0, 0, 0.75), seen(0, 0.8, 0.40), seen(0, 1.5, 0.72)]
    (visit,) = trace(stay, SITES, SETTINGS).visits
    assert len(visit.sighting_ids) == 3
    assert (visit.start_us, visit.end_us) == (0, round(1.5 * MINUTE) + 30_000_000)


def test_no_candidate_gives_an_empty_trace_that_says_so() -> None:
    assert trace([], SITES, SETTINGS).considered == 0


candidates = st.lists(
    st.builds(seen, st.integers(0, 11), st.floats(0, 60), st.floats(-0.2, 0.9)), max_size=14,
    unique_by=lambda c: c.sighting_id,
)  # fmt: skip


@given(candidates, st.randoms(use_true_random=False))
@settings(max_examples=80, deadline=None)
def test_the_order_of_candidates_changes_nothing(found: list[Candidate], rnd: object) -> None:
    shuffled = list(found)
    rnd.shuffle(shuffled)
    assert trace(found, SITES, SETTINGS) == trace(shuffled, SITES, SETTINGS)


@given(candidates)
@settings(max_examples=80, deadline=None)
def test_a_trace_is_always_feasible_and_posteriors_are_probabilities(
    found: list[Candidate],
) -> None:
    result = trace(found, SITES, SETTINGS)
    by_id = {c.sighting_id: c for c in found}
    chain = [by_id[i] for v in result.visits for i in v.sighting_ids]
    assert all(feasible(a, b, SITES, SETTINGS) for a, b in pairwise(chain))
    assert all(0.0 <= v.posterior <= 1.0 for v in (*result.visits, *result.review))


@given(st.floats(-1, 1), st.floats(-1, 1))
def test_more_similar_is_never_less_likely(a: float, b: float) -> None:
    low, high = sorted((a, b))
    for pair in CALIBRATION.pairs.values():
        assert pair.llr(low) <= pair.llr(high) + 1e-9
