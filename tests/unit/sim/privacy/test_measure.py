"""D_sys and AUC on distributions whose truth is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.privacy.measure import auc, d_sys, linkability


def scores(seed: int, count: int, mean: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 1.0, count)


def test_scores_of_one_distribution_cannot_be_linked() -> None:
    found = linkability(scores(1, 8_000), scores(2, 64_000), np.random.default_rng(0))
    assert found.d_sys < 0.03
    assert found.d_sys < 2 * found.chance_95
    assert found.auc_low < 0.5 < found.auc_high


def test_scores_that_do_not_overlap_are_linked_wholly() -> None:
    assert d_sys(scores(1, 8_000, 100.0), scores(2, 8_000)) > 0.99


def test_half_of_the_mated_scores_apart_gives_a_half() -> None:
    # Far scores have D = 1; near ones a likelihood ratio of a half, so D = 0 (paper, figure 3).
    mated = np.concatenate([scores(1, 8_000, 100.0), scores(2, 8_000)])
    assert d_sys(mated, scores(3, 64_000)) == pytest.approx(0.5, abs=0.01)


def test_two_normal_distributions_agree_with_the_integral() -> None:
    grid = np.linspace(-8, 9, 20_001)
    p = np.exp(-((grid - 1) ** 2) / 2) / np.sqrt(2 * np.pi)
    q = np.exp(-(grid**2) / 2) / np.sqrt(2 * np.pi)
    exact = np.sum(np.maximum((p - q) / (p + q), 0) * p) * (grid[1] - grid[0])
    assert d_sys(scores(1, 40_000, 1.0), scores(2, 40_000)) == pytest.approx(exact, abs=0.015)


def test_auc_is_half_when_all_scores_are_equal() -> None:
    assert auc(np.zeros(100), np.zeros(300))[0] == 0.5


@given(st.integers(0, 2**32 - 1), st.floats(-2, 2))
@settings(max_examples=20, deadline=None)
def test_d_sys_lies_between_none_and_all(seed: int, apart: float) -> None:
    assert 0.0 <= d_sys(scores(seed, 1_000, apart), scores(seed + 1, 2_000)) <= 1.0


def test_too_few_scores_are_refused() -> None:
    with pytest.raises(ValueError, match="are needed"):
        d_sys(np.zeros(10), np.zeros(10))
