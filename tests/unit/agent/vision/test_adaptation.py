"""Adaptation: learned from statistics alone, joined across boxes, refused when too few."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from agent.cli import app
from agent.cohort import CohortCounter, empty_cohort
from agent.models.pack import load_pack
from agent.store import Store
from agent.vision.adaptation import (
    MIN_FACES,
    SIZE,
    AdaptationInvalid,
    CohortStatistics,
    FaceStatistics,
    statistics_from_bytes,
    statistics_to_bytes,
)
from agent.vision.types import FinishedTracklet, MaskName

RNG = np.random.default_rng(11)
SHARED = RNG.normal(size=(SIZE, 6))


def street(count: int, seed: int, offset: float = 0.0) -> np.ndarray:
    """Raw unit embeddings that share a mean and six directions, as faces of one street do."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, SIZE)) + 2.0 * rng.normal(size=(count, 6)) @ SHARED.T
    rows += 3.0 * SHARED[:, 0] + offset * SHARED[:, 1]
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def cohort(count: int = 900) -> CohortStatistics:
    return CohortStatistics(
        FaceStatistics.of(street(count, 1)), FaceStatistics.of(street(count, 2, offset=4.0)),
        np.eye(SIZE),
    )  # fmt: skip


def test_strangers_of_the_same_street_move_apart() -> None:
    fresh = street(300, 3)
    adapted = cohort().adaptation().apply(fresh, "unmasked")
    raw_q = np.quantile((fresh @ fresh.T)[np.triu_indices(300, 1)], 0.999)
    new_q = np.quantile((adapted @ adapted.T)[np.triu_indices(300, 1)], 0.999)
    assert raw_q > 0.9
    assert new_q < 0.5


def test_adapted_rows_are_unit_vectors_in_every_state() -> None:
    adaptation = cohort().adaptation()
    states: tuple[MaskName, ...] = ("masked", "unmasked", "unsure")
    for state in states:
        norms = np.linalg.norm(adaptation.apply(street(5, 4), state), axis=1)
        np.testing.assert_allclose(norms, 1.0, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(0, 99))
def test_joining_boxes_is_the_same_as_counting_all_faces_at_once(
    sizes: list[int], seed: int
) -> None:
    parts = [street(n, seed + k) for k, n in enumerate(sizes)]
    joined = FaceStatistics.empty()
    for part in parts:
        joined = joined.joined(FaceStatistics.of(part))
    whole = FaceStatistics.of(np.concatenate(parts))
    assert joined.count == whole.count
    np.testing.assert_allclose(joined.mean, whole.mean, atol=1e-12)
    np.testing.assert_allclose(joined.covariance, whole.covariance, atol=1e-12)


def test_statistics_survive_the_file() -> None:
    again = statistics_from_bytes(statistics_to_bytes(cohort()))
    np.testing.assert_allclose(again.masked.covariance, cohort().masked.covariance, rtol=1e-5)
    assert again.unmasked.count == 900


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04nonsense", statistics_to_bytes(cohort())[:5000]])
def test_a_broken_file_is_refused(data: bytes) -> None:
    with pytest.raises(AdaptationInvalid, match="export them from the boxes again"):
        statistics_from_bytes(data)


def test_numbers_that_are_not_finite_are_refused() -> None:
    bad = cohort()
    bad.masked.mean[3] = np.nan
    with pytest.raises(AdaptationInvalid, match="not finite"):
        statistics_from_bytes(statistics_to_bytes(bad))


def test_too_few_faces_are_no_cohort() -> None:
    with pytest.raises(AdaptationInvalid, match=rf"{MIN_FACES} are needed"):
        cohort(MIN_FACES - 1).adaptation()


def tracklet(raw: np.ndarray, state: MaskName, quality: float = 0.5) -> FinishedTracklet:
    return FinishedTracklet(
        camera_id="c", ordinal=0, start_us=0, end_us=1, time_uncertainty_s=0.0,
        embedding=raw.astype(np.float32), mask_state=state, mask_probability=0.5,
        quality=quality, face_count=3, path=(), masks=(), key_frames=(),
        raw_embedding=raw.astype(np.float32),
    )  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store.sqlite", bytes(32))


def test_a_box_counts_faces_over_a_restart_and_leaves_out_the_doubtful(store: Store) -> None:
    counter = CohortCounter(store)
    for raw in street(5, 5):
        counter.add(tracklet(raw, "masked"))
    counter.add(tracklet(street(1, 6)[0], "unsure"))
    counter.add(tracklet(street(1, 6)[0], "unmasked", quality=0.01))
    counter.save()
    again = CohortCounter(store)
    assert again.counts == (0, 5)
    np.testing.assert_allclose(
        statistics_from_bytes(store.load_cohort()).masked.mean, street(5, 5).mean(0), atol=1e-6
    )


def test_nobody_is_no_cohort() -> None:
    with pytest.raises(AdaptationInvalid):
        empty_cohort().adaptation()


def test_boxes_statistics_become_a_pack_with_a_space_of_its_own(tmp_path: Path) -> None:
    files = []
    for box in range(2):
        file = tmp_path / f"box{box}.npz"
        file.write_bytes(statistics_to_bytes(cohort(400 + box)))
        files.append(str(file))
    out = tmp_path / "pack"
    done = CliRunner().invoke(app, ["adaptation", "learn", *files, "--out", str(out)])
    assert done.exit_code == 0, done.output
    pack = load_pack(out)
    assert pack.space_id != load_pack().space_id
    assert pack.space_id in done.output
    assert pack.cohort().unmasked.count == 801
    np.testing.assert_allclose(
        pack.cohort().mask_scatter, load_pack().cohort().mask_scatter, rtol=1e-5
    )


def test_too_few_boxes_make_no_pack(tmp_path: Path) -> None:
    file = tmp_path / "box.npz"
    file.write_bytes(statistics_to_bytes(cohort(50)))
    words = ["adaptation", "learn", str(file), "--out", str(tmp_path / "pack")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1
    assert "wait longer" in done.output
    assert not (tmp_path / "pack").exists()
