"""Clock offsets: what delays prove about a clock, and what they do not."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.services import clock_offsets
from controller.services.clock_offsets import BUCKET_US, BUCKETS, NONE, ClockOffsets, Correction

NOW = 1_800_000_000_000_000
S = 1_000_000


def after(
    offsets: ClockOffsets, clock_error_s: float, delays_s: list[float], *, live: bool = True,
    every_us: int = 60 * S, reported_s: float | None = None,
) -> Correction:  # fmt: skip
    """Let an agent whose clock is ahead by `clock_error_s` speak; the correction it then gets."""
    true_us = [NOW + n * every_us for n in range(len(delays_s))]
    came = [(us + round(d * S), us) for us, d in zip(true_us, delays_s, strict=True)]
    for received_us, spoken_us in sorted(came):
        sent_us = spoken_us + round(clock_error_s * S)
        if live:
            offsets.saw_health("box-1", sent_us, received_us, reported_s)
        else:
            offsets.saw_batch("box-1", sent_us, received_us)
    # A batch that waited for long adds no knowledge and shows what holds.
    end_us = max(came)[0] + S
    return offsets.saw_batch("box-1", end_us - 86_400 * S, end_us)


@given(
    st.floats(-7_200, 7_200), st.lists(st.floats(0.0, 0.9), min_size=12, max_size=30),
)  # fmt: skip
def test_a_live_clock_is_corrected_to_within_the_stated_uncertainty(
    error_s: float, delays_s: list[float]
) -> None:
    found = after(ClockOffsets(), error_s, delays_s)
    if found == NONE:
        assert abs(error_s) <= 2.5
    else:
        assert abs(found.offset_s + error_s) <= found.uncertainty_s + 1e-6


def test_delays_of_minutes_hide_no_fast_clock() -> None:
    rng = random.Random(1)
    delays = [rng.choice([0.2, 5.0, 300.0]) for _ in range(120)]
    found = after(ClockOffsets(), 40.0, delays, live=False)
    assert found.offset_s == pytest.approx(-40.0, abs=0.5)
    assert found.uncertainty_s == 0.5


def test_a_spool_that_drains_is_no_slow_clock() -> None:
    assert after(ClockOffsets(), 0.0, [7_200.0] * 30, live=False) == NONE


def test_health_that_a_broker_held_back_is_no_slow_clock() -> None:
    offsets = ClockOffsets()
    for n in range(60):
        # An hour of health messages delivered within one second.
        offsets.saw_health("box-1", NOW - 3_600 * S + n * 60 * S, NOW + n * 10_000, None)
    assert offsets.saw_batch("box-1", NOW, NOW + S) == NONE


def test_a_slow_clock_needs_several_agreeing_minima() -> None:
    assert after(ClockOffsets(), -30.0, [0.1] * 3) == NONE
    found = after(ClockOffsets(), -30.0, [0.1] * 8)
    assert found.offset_s == pytest.approx(30.0, abs=0.6)


def test_a_clock_within_a_second_is_left_alone() -> None:
    assert after(ClockOffsets(), 0.4, [0.05] * 20) == NONE
    assert after(ClockOffsets(), -0.4, [0.05] * 20) == NONE


def test_what_the_agent_reports_is_taken_if_the_delays_allow_it() -> None:
    found = after(ClockOffsets(), 0.8, [0.05] * 20, reported_s=-0.8)
    assert found == Correction(-0.8, 0.1)


def test_what_the_agent_reports_is_not_believed_against_the_delays() -> None:
    found = after(ClockOffsets(), 40.0, [0.05] * 20, reported_s=0.0)
    assert found.offset_s == pytest.approx(-40.0, abs=0.6)


def test_the_window_forgets_a_clock_that_was_set_right() -> None:
    offsets = ClockOffsets()
    after(offsets, 40.0, [0.1] * 5)
    later_us = NOW + (BUCKETS + 4) * BUCKET_US
    assert offsets.saw_batch("box-1", later_us, later_us + 100_000) == NONE


def test_drift_sums_up_and_agents_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock_offsets, "MAX_AGENTS", 2)
    offsets = ClockOffsets()
    for n in range(4):
        for _ in range(3):
            offsets.saw_batch(f"box-{n}", NOW + n * 10 * S, NOW)
    drift = offsets.drift()
    assert (drift.watched, drift.corrected) == (2, 2)
    assert drift.fastest_s == pytest.approx(-30.5)
    assert drift.slowest_s == pytest.approx(-20.5)
