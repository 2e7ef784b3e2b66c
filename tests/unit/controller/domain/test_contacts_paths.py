"""Smoothing, presence and the distance's probability, each against what must hold."""

from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ncx2

from controller.domain.contacts_minutes import within_probability
from controller.domain.contacts_model import ContactModel, PresenceModel
from controller.domain.contacts_paths import smooth, stretches
from controller.domain.contacts_presence import draw_spells, presence
from controller.domain.contacts_stays import stay_on, stay_probability
from controller.domain.contacts_window import weighted_quantiles
from controller.domain.types import PersonTrack

SECOND = 1_000_000


def track(times_s: np.ndarray, places: np.ndarray, noise_m: float) -> PersonTrack:
    times = np.round(times_s * 1e6).astype(np.int64)
    return PersonTrack(
        UUID(int=1), False, int(times[0]), int(times[-1]), times, places,
        np.full(len(times), noise_m), (), None, 0.5,
    )  # fmt: skip


def walk(noise_m: float, seed: int = 1) -> tuple[np.ndarray, PersonTrack]:
    times = np.arange(0, 60, 0.4)
    truth = np.column_stack([np.minimum(times, 30) * 1.2, np.full(len(times), 4.0)])
    rng = np.random.default_rng(seed)
    return truth, track(times, truth + noise_m * rng.standard_normal(truth.shape), noise_m)


def test_a_smoothed_walk_is_nearer_to_the_truth_than_its_samples() -> None:
    truth, noisy = walk(0.2)
    path = smooth(noisy)
    assert path is not None
    at = np.column_stack([np.interp(path.times_us, noisy.times_us, axis) for axis in truth.T])
    raw = np.sqrt(np.mean((noisy.places_m - truth) ** 2))
    assert np.sqrt(np.mean((path.places_m - at) ** 2)) < 0.7 * raw


def test_the_smoothed_deviation_is_the_error_it_claims() -> None:
    ratios = []
    for seed in range(20):
        truth, noisy = walk(0.2, seed)
        path = smooth(noisy)
        assert path is not None
        steady = path.times_us > 35 * SECOND
        error = path.places_m[steady] - truth[-1]
        ratios.append(np.mean((error / path.sd_m[steady, None]) ** 2))
    assert 0.5 < np.mean(ratios) < 1.5


def test_walking_and_standing_are_told_apart() -> None:
    _, noisy = walk(0.05)
    path = smooth(noisy)
    assert path is not None
    seconds = path.times_us / 1e6
    assert path.speed_m_s[(seconds > 3) & (seconds < 27)].min() > 0.8
    assert path.speed_m_s[seconds > 35].max() < 0.4


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.05, 400.0), min_size=1, max_size=40), st.floats(0.01, 0.5))
def test_smoothing_takes_any_times_and_stays_among_the_samples(
    gaps: list[float], noise_m: float
) -> None:
    times = np.cumsum(gaps)
    path = smooth(track(times, np.tile([1.0, 5.0], (len(times), 1)), noise_m))
    assert path is not None
    assert np.allclose(path.places_m, [1.0, 5.0], atol=1e-6)
    assert (path.sd_m > 0).all()
    ends = round(times[0] * 1e6), round(times[-1] * 1e6)
    assert ends[0] <= path.times_us[0] <= path.times_us[-1] <= ends[1]
    if len(path.times_us) > 1:
        assert (path.times_us[0], path.times_us[-1]) == ends
    runs = stretches(path, 3 * SECOND)
    assert [a for a, _ in runs[1:]] == [b + 1 for _, b in runs[:-1]]


def test_a_tracklet_without_places_has_no_path() -> None:
    empty = PersonTrack(
        UUID(int=1), False, 0, 10, np.zeros(0, np.int64), np.zeros((0, 2)), np.zeros(0), (), None,
        0.5,
    )  # fmt: skip
    assert smooth(empty) is None


@given(st.floats(0.0, 6.0), st.floats(0.01, 0.366))
def test_the_distances_probability_is_the_exact_one_to_two_hundredths(
    apart_m: float, sd_m: float
) -> None:
    exact = ncx2.cdf((1.83 / sd_m) ** 2, 2, (apart_m / sd_m) ** 2)
    close = within_probability(np.array(apart_m), np.array(sd_m), 1.83)
    assert float(close) == pytest.approx(float(exact), abs=0.02)


@given(st.floats(1.0, 890.0), st.floats(1.0, 890.0))
def test_the_longer_a_gap_the_likelier_an_absence(one_s: float, other_s: float) -> None:
    short, long = sorted((one_s, other_s))
    model = PresenceModel()
    assert stay_probability(short, model) >= stay_probability(long, model) - 1e-12


def test_presence_as_seen_drawn_and_possible_lie_in_one_another() -> None:
    times = np.array([t for t in range(600) if t % 120 < 70], float)
    path = smooth(track(times, np.tile([0.0, 5.0], (len(times), 1)), 0.05))
    assert path is not None
    grid = np.arange(-120, 720, dtype=np.int64) * SECOND
    model, rng = ContactModel(), np.random.default_rng(1)
    stay = stay_on(grid, [path], 3 * SECOND, model.presence)
    spells = draw_spells(stay, rng, 300, model.presence.leavers)
    member = np.ones((300, 1), bool)
    seen, drawn, possible = presence(stay, spells, member, np.arange(len(grid)), 1.0)
    assert (seen <= drawn).all()
    assert (drawn <= possible).all()
    assert seen.sum(axis=1).tolist() == [350] * 300
    assert possible.sum(axis=1).min() >= 350 + 4 * 50
    none = presence(stay, spells, ~member, np.arange(len(grid)), 1.0)
    assert not any(part.any() for part in none)


@given(st.lists(st.floats(0, 100), min_size=3, max_size=50))
def test_quantiles_lie_within_the_values_and_in_order(values: list[float]) -> None:
    weight = np.full(len(values), 1 / len(values))
    low, middle, high = weighted_quantiles(np.array(values), weight, (0.05, 0.5, 0.95))
    assert min(values) <= low <= middle <= high <= max(values)
