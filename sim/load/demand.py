"""How many people pass the city's cameras: a steady rate, or a day with two commuter peaks."""

from dataclasses import dataclass
from typing import Final, Protocol

from sim.errors import SimError

PER_CAMERA_AND_DAY: Final = 2_000
_DAY_S: Final = 86_400.0
# By hour of the day, beginning at midnight; an assumption, not a count: quiet nights, a morning
# peak at eight, a higher evening peak at eighteen.
_HOURS: Final = (
    0.15, 0.08, 0.05, 0.05, 0.1, 0.3, 0.9, 2.0, 2.6, 1.6, 1.1, 1.1,
    1.3, 1.2, 1.1, 1.2, 1.5, 2.1, 2.7, 2.0, 1.3, 0.9, 0.6, 0.3,
)  # fmt: skip


class Demand(Protocol):
    """Says how many sightings all cameras together make."""

    def rate_at(self, elapsed_s: float) -> float:
        """Return sightings per second, `elapsed_s` after the start."""


@dataclass(frozen=True, slots=True)
class Steady:
    """The same rate all the time, in sightings per second over all cameras."""

    rate: float

    def rate_at(self, elapsed_s: float) -> float:  # noqa: ARG002 - steady
        """Return the rate."""
        return self.rate


@dataclass(frozen=True, slots=True)
class CityDay:
    """2,000 sightings per camera and day, spread over the day; it begins at `hour` (0..24).

    `speed`: how many seconds of the city's day pass in one second; the rate grows with it.
    """

    cameras: int
    hour: float
    speed: float = 1.0

    def rate_at(self, elapsed_s: float) -> float:
        """Return sightings per second, of real time, over all cameras."""
        share = share_at(self.hour + elapsed_s * self.speed / 3_600.0)
        return self.cameras * PER_CAMERA_AND_DAY / _DAY_S * share * self.speed


def share_at(hour: float) -> float:
    """Return how busy an hour of the day is; 1 is the day's mean, lines between full hours."""
    hour %= 24.0
    first = int(hour) % 24
    before, after = _HOURS[first], _HOURS[(first + 1) % 24]
    mean = sum(_HOURS) / len(_HOURS)
    return (before + (after - before) * (hour - int(hour))) / mean


@dataclass(frozen=True, slots=True)
class DemandSettings:
    """Either a steady `rate`, or a city's day from `hour` on at `speed`."""

    rate: float | None = None
    hour: float = 8.0
    speed: float = 1.0

    def demand(self, cameras: int) -> Demand:
        """Return the demand of so many cameras; raises `SimError` naming what is wrong."""
        if self.rate is not None:
            if self.rate < 0:
                raise SimError(f"rate: {self.rate} is below 0; give sightings per second")
            return Steady(self.rate)
        if not 0.0 <= self.hour < 24.0:
            raise SimError(f"hour: {self.hour} is no hour of the day; give 0 to 24")
        if self.speed <= 0:
            raise SimError(f"speed: {self.speed} must be above 0")
        return CityDay(cameras, self.hour, self.speed)
