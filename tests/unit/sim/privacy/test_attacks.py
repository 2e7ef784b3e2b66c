"""The attacks do what they claim where the answer is known."""

import numpy as np
import pytest

from sim.privacy import attacks

SIZE = 24


def rows(seed: int, count: int, spread: np.ndarray | None = None) -> np.ndarray:
    # Skewed on every axis, so that signs can be told.
    drawn = np.random.default_rng(seed).exponential(1.0, (count, SIZE)) - 1.0
    scaled = drawn * (np.ones(SIZE) if spread is None else spread)
    return (scaled / np.linalg.norm(scaled, axis=1, keepdims=True)).astype(np.float32)


def turn(seed: int) -> np.ndarray:
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(SIZE, SIZE)))
    return q.astype(np.float32)


def test_procrustes_solves_a_rotation_from_known_pairs() -> None:
    a, q = rows(1, 4 * SIZE), turn(2)
    np.testing.assert_allclose(attacks.procrustes(a, a @ q), q, atol=1e-3)


@pytest.mark.parametrize("known", [1, 5, 12])
def test_fewer_pairs_solve_as_many_directions(known: int) -> None:
    a, q = rows(1, known), turn(2)
    solved = attacks.procrustes(a, a @ q)
    assert np.linalg.matrix_rank(solved, tol=1e-3) == known
    np.testing.assert_allclose(a @ solved, a @ q, atol=1e-3)


def test_principal_axes_solve_a_rotation_of_faces_that_differ_in_spread() -> None:
    a, q = rows(1, 4_000, np.geomspace(1.0, 0.1, SIZE)), turn(2)
    found = attacks.pca_alignment(a, a @ q)
    np.testing.assert_allclose(found, q, atol=1e-2)


def test_the_mean_is_carried_onto_the_mean() -> None:
    a, q = rows(1, 500) + 0.3, turn(2)
    moved = a.mean(0) @ attacks.mean_alignment(a, a @ q)
    np.testing.assert_allclose(moved, a.mean(0) @ q, atol=1e-4)


def test_a_rough_start_grows_to_the_whole_rotation() -> None:
    a, q = rows(1, 1_000), turn(2)
    start = attacks.procrustes(a[:12], a[:12] @ q)
    grown = attacks.refined(a, a @ q, start, a[:12], a[:12] @ q)
    np.testing.assert_allclose(grown, q, atol=1e-2)
    assert not np.allclose(start, q, atol=1e-1)
