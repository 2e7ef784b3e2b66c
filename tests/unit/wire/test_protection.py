"""Template protection: cosine survives inside an epoch and shard, and means nothing outside."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wire import protection as p

DAY_KEY = bytes(range(32))


def unit_vectors(count: int, seed: int = 1) -> p.F32:
    vectors = np.random.default_rng(seed).normal(size=(count, p.DIMENSION))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def shard_key(epoch: int, shard: int) -> bytes:
    return p.derive_shard_key(DAY_KEY, epoch=epoch, shard=shard)


@given(seed=st.binary(min_size=32, max_size=32))
@settings(max_examples=10, deadline=None)
def test_a_rotation_is_orthogonal_for_any_key(seed: bytes) -> None:
    matrix = p.rotation(seed)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(p.DIMENSION), atol=1e-5)


def test_a_rotation_is_the_same_on_every_machine() -> None:
    # Pinned: agents and controller on different processors must derive the same matrix.
    corner = p.rotation(shard_key(20_000, 3))[:2, :2]
    np.testing.assert_allclose(corner, PINNED_CORNER, atol=1e-6)


PINNED_CORNER = np.array([[-0.11071096, 0.07725542], [-0.02462161, 0.0322189]], dtype=np.float32)


def test_cosine_is_kept_to_a_thousandth_inside_an_epoch_and_shard() -> None:
    a, b = unit_vectors(500, 1), unit_vectors(500, 2)
    near = a + 0.8 * b
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    key = shard_key(20_000, 3)
    left, right = p.dequantise(p.protect(a, key)), p.dequantise(p.protect(near, key))
    np.testing.assert_allclose(np.sum(left * right, 1), np.sum(a * near, 1), atol=2e-3)
    assert abs(float(np.mean(np.sum(left * right, 1) - np.sum(a * near, 1)))) < 1e-4


@pytest.mark.parametrize(("epoch", "shard"), [(20_001, 3), (20_000, 4)])
def test_the_same_face_in_another_epoch_or_shard_looks_like_a_stranger(
    epoch: int, shard: int
) -> None:
    faces = unit_vectors(2000)
    here = p.dequantise(p.protect(faces, shard_key(20_000, 3)))
    there = p.dequantise(p.protect(faces, shard_key(epoch, shard)))
    cosines = np.sum(here * there, axis=1)
    assert abs(float(cosines.mean())) < 0.01
    assert float(cosines.std()) == pytest.approx(1 / np.sqrt(p.DIMENSION), rel=0.15)


@given(data=st.binary(min_size=192, max_size=192))
def test_template_bytes_round_trip(data: bytes) -> None:
    assert p.template_to_bytes(p.template_from_bytes(data)) == data


def test_a_template_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="192 bytes"):
        p.template_from_bytes(bytes(191))
