"""The prefilter must not lose what an exact scan finds, whatever probe, cosine and direction."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.domain.prefilter import (
    HEAVY,
    TOP,
    ProbeCodes,
    bit_planes,
    pass_rate,
    probe_codes,
    probe_levels,
)
from wire.protection import quantise


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def rows_at(probe: np.ndarray, cosine: float, count: int, rng: np.random.Generator) -> np.ndarray:
    noise = rng.standard_normal((count, 192))
    noise -= (noise @ probe)[:, None] * probe
    return cosine * probe + np.sqrt(1 - cosine**2) * unit(noise)


def passing(codes: ProbeCodes, templates: np.ndarray) -> np.ndarray:
    differ = bit_planes(templates >= 0) ^ codes.signs[0]
    plain = np.bitwise_count(differ).sum(axis=1)
    large = np.bitwise_count(differ & codes.heavy[0]).sum(axis=1)
    return plain + (HEAVY - 1) * large <= codes.limits[0]


@given(seed=st.integers(0, 2**32 - 1), cosine=st.floats(0.3, 0.8))
@settings(max_examples=40, deadline=None)
def test_rows_just_at_the_wanted_cosine_are_kept(seed: int, cosine: float) -> None:
    rng = np.random.default_rng(seed)
    probe = unit(rng.standard_normal(192))
    codes = probe_codes(probe[None], np.array([cosine], np.float32))
    kept = passing(codes, quantise(rows_at(probe, cosine, 4_000, rng))).mean()
    # 99.7 % is promised just at the cosine (more above it), less five deviations of 4,000 rows.
    assert kept >= 0.9925


def second(codes: ProbeCodes, probe: np.ndarray, templates: np.ndarray) -> np.ndarray:
    rows = np.where(np.abs(templates.astype(int)) >= TOP, 3, 1) * np.where(templates >= 0, 1, -1)
    levels = probe_levels(probe[None])[0] * np.sign(probe)
    return rows @ levels / np.linalg.norm(rows, axis=1) >= codes.least[0]


@given(seed=st.integers(0, 2**32 - 1), cosine=st.floats(0.3, 0.7))
@settings(max_examples=40, deadline=None)
def test_the_second_look_keeps_them_too_and_spares_most_others(seed: int, cosine: float) -> None:
    rng = np.random.default_rng(seed)
    probe = unit(rng.standard_normal(192))
    codes = probe_codes(probe[None], np.array([cosine], np.float32))
    assert second(codes, probe, quantise(rows_at(probe, cosine, 4_000, rng))).mean() >= 0.985
    far = second(codes, probe, quantise(rows_at(probe, cosine - 0.25, 4_000, rng))).mean()
    assert far < 0.02


@given(seed=st.integers(0, 2**32 - 1), lower=st.floats(0.2, 0.6), step=st.floats(0.01, 0.3))
@settings(max_examples=40, deadline=None)
def test_a_stricter_cosine_never_lets_more_through(seed: int, lower: float, step: float) -> None:
    rng = np.random.default_rng(seed)
    probe = unit(rng.standard_normal(192))[None]
    limits = [
        probe_codes(probe, np.array([c], np.float32)).limits[0] for c in (lower, lower + step)
    ]
    assert limits[1] <= limits[0]


def test_strangers_come_through_as_often_as_predicted() -> None:
    rng = np.random.default_rng(4)
    probe = unit(rng.standard_normal(192))
    codes = probe_codes(probe[None], np.array([0.45], np.float32))
    for cosine in (0.0, 0.2, 0.35):
        observed = passing(codes, quantise(rows_at(probe, cosine, 40_000, rng))).mean()
        (predicted,) = pass_rate(probe[None], codes, np.array([cosine]))[0]
        assert observed == pytest.approx(predicted, rel=0.25, abs=3e-4)


def test_one_bit_of_magnitude_halves_what_plain_sign_bits_let_through() -> None:
    rng = np.random.default_rng(5)
    probe = unit(rng.standard_normal(192))
    wanted = quantise(rows_at(probe, 0.45, 20_000, rng))
    strangers = quantise(unit(rng.standard_normal((200_000, 192))))
    codes = probe_codes(probe[None], np.array([0.45], np.float32))
    plain = np.bitwise_count(bit_planes(strangers >= 0) ^ codes.signs[0]).sum(axis=1)
    own = np.bitwise_count(bit_planes(wanted >= 0) ^ codes.signs[0]).sum(axis=1)
    plain_passed = (plain <= np.quantile(own, 0.997)).mean()
    assert passing(codes, wanted).mean() >= 0.995
    assert passing(codes, strangers).mean() < plain_passed / 2


def test_bit_i_of_a_plane_is_flag_i() -> None:
    flags = np.zeros((1, 192), bool)
    flags[0, [0, 63, 64, 191]] = True
    assert bit_planes(flags).tolist() == [[1 | 1 << 63, 1, 1 << 63]]
