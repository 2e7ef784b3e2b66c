"""How many people each camera sees at which hour: the strangers that a sighting competes with."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from controller.domain.types import F64

I64 = NDArray[np.int64]
HOURS: Final = 24
HOUR_US: Final = 3_600_000_000
PRIOR: Final = 4.0
"""A camera's hour is believed as much as so many sightings that follow the city's day."""
CAMERA_PRIOR: Final = 8.0
LEAST_HZ: Final = 1e-6
ANYWHERE: Final = 0.3
"""Share of people who are not where and when most people are."""
DAY_S: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Traffic:
    """`hz` (c, 24): sightings per second of each camera by hour of the day (UTC)."""

    hz: F64

    @classmethod
    def even(cls, cameras: int, hz: float) -> "Traffic":
        """Return that every camera sees the same at every hour."""
        return cls(np.full((cameras, HOURS), max(hz, LEAST_HZ)))

    @classmethod
    def of(
        cls, camera: I64, start_us: I64, *, cameras: int, days: float, total: float
    ) -> "Traffic":
        """Return the traffic told by an even part of the sightings, (n,) each.

        `total` sightings there were in `days` days. Few are drawn towards the camera's own mean,
        and that towards the city's (a gamma prior each).
        """
        hour = start_us // HOUR_US % HOURS
        counts = np.bincount(camera * HOURS + hour, minlength=cameras * HOURS)
        seen = counts.reshape(cameras, HOURS).astype(np.float64)
        each = seen.sum(axis=1)
        mean = max(float(each.mean()), 1e-9)
        each = mean * (each + CAMERA_PRIOR) / (mean + CAMERA_PRIOR)
        by_hour = (seen.sum(axis=0) + 1.0) / (seen.sum() + HOURS)
        expected = each[:, None] * by_hour
        drawn = expected * (seen + PRIOR) / (expected + PRIOR)
        scale = total / max(float(drawn.sum()), 1e-9)
        return cls(np.maximum(drawn * scale / (days * 3600.0), LEAST_HZ))

    def log_at(self, camera: I64, at_us: I64) -> F64:
        """Return (n,) log rates of cameras at moments."""
        return np.asarray(np.log(self.hz[camera, at_us // HOUR_US % HOURS]))

    def log_found(self, camera: I64, at_us: I64) -> F64:
        """Return (n,) log chances per second that a day's sighting of somebody is there and then.

        People are where people are, so that busy places are as likely for the subject.
        """
        per_day = float(self.hz.mean(axis=1).sum()) * DAY_S
        share = self.hz[camera, at_us // HOUR_US % HOURS] / per_day
        return np.asarray(np.log((1 - ANYWHERE) * share + ANYWHERE * np.exp(self.log_anywhere)))

    @property
    def log_anywhere(self) -> float:
        """Return the log of one second of one camera's share of a day of all."""
        return -float(np.log(max(len(self.hz), 1) * DAY_S))
