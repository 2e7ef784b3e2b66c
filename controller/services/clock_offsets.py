"""How wrong each agent's clock is, from when its messages say they were sent and when they came.

A one-way delay is never negative, so `received - sent` bounds the correction from above, and its
minimum over a window is the tightest bound (the minimum filter of NTP, RFC 5905, section 10,
with one direction only). A fast clock shows as a negative minimum, whatever the message was. A
slow clock looks like a delay: it shows only in health messages, which are sent at once and never
queued, and only when several minima agree, which a queue that drains does not produce.
"""

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Final

BUCKET_US: Final = 120_000_000
BUCKETS: Final = 8
"""The window: 16 minutes of two-minute minima; older ones are forgotten."""
MAX_AGENTS: Final = 32_768
"""Agents that are watched; beyond it the one heard longest ago is forgotten and starts anew."""
SHORTEST_DELAY_S: Final = 1.0
"""The shortest delay of a window is taken to lie between 0 and this."""
ENOUGH_SAMPLES: Final = 3
AGREEING_BUCKETS: Final = 3
AGREE_S: Final = 1.0
REPORTED_UNCERTAINTY_S: Final = 0.1
REPORTED_FOR_US: Final = 900_000_000


@dataclass(frozen=True, slots=True)
class Correction:
    """Seconds to add to an agent's times, and how far that may be off either way."""

    offset_s: float = 0.0
    uncertainty_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Drift:
    """How the watched clocks stand; offsets in seconds to be added to the agents' times."""

    watched: int = 0
    corrected: int = 0
    fastest_s: float = 0.0
    slowest_s: float = 0.0


NONE: Final = Correction()


@dataclass(frozen=True, slots=True)
class _Bucket:
    start_us: int
    least_us: int
    count: int
    live_us: int | None


@dataclass(slots=True)
class _Clock:
    buckets: tuple[_Bucket, ...] = ()
    reported_s: float | None = None
    reported_us: int = 0
    correction: Correction = NONE


class ClockOffsets:
    """One estimate per agent; used by one thread, read by others."""

    def __init__(self) -> None:
        self._clocks: OrderedDict[str, _Clock] = OrderedDict()

    def saw_batch(self, agent_id: str, sent_us: int, received_us: int) -> Correction:
        """Note a batch, which may have waited in a spool; return the correction for it."""
        return self._saw(agent_id, sent_us, received_us, live=False).correction

    def saw_health(
        self, agent_id: str, sent_us: int, received_us: int, reported_s: float | None
    ) -> None:
        """Note a health message; `reported_s` is what the agent's own NTP would add to its time."""
        clock = self._saw(agent_id, sent_us, received_us, live=True)
        if reported_s is not None:
            clock.reported_s, clock.reported_us = reported_s, received_us
            clock.correction = _estimate(clock, received_us)

    def drift(self) -> Drift:
        """Sum up all watched clocks."""
        offsets = [clock.correction.offset_s for clock in list(self._clocks.values())]
        return Drift(
            watched=len(offsets),
            corrected=sum(offset != 0.0 for offset in offsets),
            fastest_s=min(offsets, default=0.0),
            slowest_s=max(offsets, default=0.0),
        )

    def _saw(self, agent_id: str, sent_us: int, received_us: int, *, live: bool) -> _Clock:
        clock = self._clocks.setdefault(agent_id, _Clock())
        self._clocks.move_to_end(agent_id)
        while len(self._clocks) > MAX_AGENTS:
            self._clocks.popitem(last=False)
        clock.buckets = _with(clock.buckets, received_us - sent_us, received_us, live=live)
        clock.correction = _estimate(clock, received_us)
        return clock


def _with(
    buckets: tuple[_Bucket, ...], difference_us: int, now_us: int, *, live: bool
) -> tuple[_Bucket, ...]:
    start_us = now_us - now_us % BUCKET_US
    live_us = difference_us if live else None
    oldest_us = start_us - (BUCKETS - 1) * BUCKET_US
    # Buckets of the future come from a controller's clock that was set back: forget them.
    kept = tuple(b for b in buckets if oldest_us <= b.start_us < start_us)
    same = next((b for b in buckets if b.start_us == start_us), None)
    if same is None:
        return (*kept, _Bucket(start_us, difference_us, 1, live_us))
    lives = [d for d in (same.live_us, live_us) if d is not None]
    merged = replace(
        same, least_us=min(same.least_us, difference_us), count=same.count + 1,
        live_us=min(lives, default=None),
    )  # fmt: skip
    return (*kept, merged)


def _estimate(clock: _Clock, now_us: int) -> Correction:
    """Return the correction; none while the evidence is thin or within its own uncertainty."""
    bound_s = min(b.least_us for b in clock.buckets) / 1e6
    reported_s = clock.reported_s
    fresh = reported_s is not None and now_us - clock.reported_us <= REPORTED_FOR_US
    if reported_s is not None and fresh and _plausible(reported_s, bound_s, clock.buckets):
        if abs(reported_s) > REPORTED_UNCERTAINTY_S:
            return Correction(reported_s, REPORTED_UNCERTAINTY_S)
        return NONE
    half_s = SHORTEST_DELAY_S / 2
    offset_s = bound_s - half_s
    if offset_s < -2 * half_s and sum(b.count for b in clock.buckets) >= ENOUGH_SAMPLES:
        return Correction(offset_s, half_s)
    slow_s = _agreed_s(clock.buckets)
    if slow_s is not None and slow_s - half_s > 2 * half_s:
        return Correction(min(slow_s, bound_s) - half_s, half_s)
    return NONE


def _plausible(reported_s: float, bound_s: float, buckets: tuple[_Bucket, ...]) -> bool:
    # The bound is hard, whatever the agent says of itself; and so is a delay that cannot be.
    slow_s = _agreed_s(buckets)
    least_s = -float("inf") if slow_s is None else slow_s - SHORTEST_DELAY_S
    return least_s - REPORTED_UNCERTAINTY_S <= reported_s <= bound_s + REPORTED_UNCERTAINTY_S


def _agreed_s(buckets: tuple[_Bucket, ...]) -> float | None:
    """Return the least live difference if the lowest of several buckets agree with it."""
    lives = sorted(b.live_us for b in buckets if b.live_us is not None)[:AGREEING_BUCKETS]
    if len(lives) < AGREEING_BUCKETS or lives[-1] - lives[0] > AGREE_S * 1e6:
        return None
    return lives[0] / 1e6
