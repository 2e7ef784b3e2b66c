"""The rows that all participants of the search bench get, and two of them on a few thousand."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.bench.gallery.data import MEAN_COSINE, City, make_dataset
from tests.bench.gallery.peers.dataset import Dataset, rescored, share_found
from tests.bench.gallery.peers_run import PARTICIPANTS, run_peers
from wire.protection import dequantise


def test_strangers_lie_as_far_apart_as_real_ones() -> None:
    city = City(seed=3, genuine_share=0.0)
    templates, genuine, _ = city.block(0, 20_000)
    cosines = dequantise(templates) @ city.probes.T
    assert len(genuine) == 0
    assert abs(cosines.mean() - MEAN_COSINE) < 0.02
    assert 0.11 < cosines.std() < 0.16


def test_the_same_seed_draws_the_same_rows() -> None:
    first, second = (City(seed=5).block(7, 500)[0] for _ in range(2))
    assert np.array_equal(first, second)


def test_ours_and_numpy_find_what_an_exact_scan_finds(tmp_path: Path) -> None:
    chosen = [one for one in PARTICIPANTS if one.packages is None]
    found = {one["name"]: one for one in run_peers(tmp_path, 20_000, chosen)}
    assert set(found) == {"ours", "NumPy float32"}
    assert found["NumPy float32"]["recall"] == 1.0
    assert found["ours"]["recall"] >= 0.97
    assert all(one["rows"] == 20_000 and one["rows_per_s"] > 0 for one in found.values())
    assert not list(tmp_path.iterdir())


def test_a_participant_that_fails_is_told_with_its_reason(tmp_path: Path) -> None:
    broken = replace(PARTICIPANTS[1], module="nobody_peer")
    [told] = run_peers(tmp_path, 1_000, [broken])
    assert "nobody_peer" in told["failed"]


def test_recall_counts_pairs_of_probe_and_row(tmp_path: Path) -> None:
    wanted = [np.array([1, 2]), np.array([3])]
    assert share_found(wanted, [np.array([2]), np.array([3, 4])]) == 2 / 3
    data: Dataset = make_dataset(tmp_path / "d", 2_000)
    everything = [np.arange(2_000)] * len(data.probes)
    again = rescored(data, data.probes, everything, data.facts.threshold)
    assert share_found(data.answers, again) == 1.0
