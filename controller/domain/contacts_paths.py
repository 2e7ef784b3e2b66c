"""From noisy places of a head to a smooth path with what is left unknown of it.

A near-constant-velocity Kalman filter with a Rauch-Tung-Striebel pass (Rauch, Tung, Striebel,
AIAA J. 1965): people walk and stop, the samples come at uneven times, and n samples cost O(n);
a Gaussian process with the Matern kernel of the same smoothness gives the same answer (Hartikainen
and Sarkka, MLSP 2010) at no gain. What all samples of a person have in common, the unknown height
of the head, is no noise and is not smoothed away here: see `contacts_heights`.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from controller.domain.types import F64, PersonTrack

JERKINESS: Final = 0.05
"""White acceleration in m^2/s^3: a change of velocity of 0.22 m/s in a second is usual."""
FIRST_SPEED_SD: Final = 1.5
LEAST_SD_M: Final = 0.01
BIN_US: Final = 1_000_000
"""Samples within a second are averaged first: a face stands still that long."""
MOVING_M_S: Final = 0.4
SPEED_OVER_S: Final = 2.0
Moments = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SmoothPath:
    """One tracklet's path: `times_us` (n,), `places_m` (n, 2), `sd_m` and `speed_m_s` (n,)."""

    tracklet_id: UUID
    times_us: Moments
    places_m: F64
    sd_m: F64
    speed_m_s: F64


def smooth(track: PersonTrack) -> SmoothPath | None:
    """Smooth a tracklet's path; None if the camera could place none of its faces."""
    if not len(track.times_us):
        return None
    times, places, sd = _binned(track)
    seconds = (times - times[0]) / 1e6
    states, variances = _filter(seconds, places, sd**2)
    smoothed, spread = _look_back(seconds, states, variances)
    return SmoothPath(
        tracklet_id=track.tracklet_id,
        times_us=times,
        places_m=smoothed,
        sd_m=np.sqrt(np.maximum(spread, LEAST_SD_M**2)),
        speed_m_s=_speed(seconds, smoothed),
    )


def _binned(track: PersonTrack) -> tuple[Moments, F64, F64]:
    """Average the samples of each second; times are taken relative to keep them exact."""
    first = int(track.times_us[0])
    offsets = track.times_us - first
    _, where, counts = np.unique(offsets // BIN_US, return_inverse=True, return_counts=True)
    columns = (offsets.astype(float), *track.places_m.T, track.noise_sd_m)
    sums = [np.bincount(where, weights=column) / counts for column in columns]
    times = first + np.round(sums[0]).astype(np.int64)
    # The ends of a tracklet are known to the frame; averaging must not shorten it.
    if len(times) > 1:
        times[0], times[-1] = first, int(track.times_us[-1])
    sd = np.maximum(sums[3] / np.sqrt(counts), LEAST_SD_M)
    return times, np.column_stack(sums[1:3]), sd


def _filter(
    seconds: F64, places: F64, noise: F64
) -> tuple[list[tuple[float, ...]], list[tuple[float, ...]]]:
    """Run the filter; both axes share one covariance, so numbers stay plain floats.

    Returns per moment x, y, vx, vy and the covariance of an axis: position, both, velocity.
    """
    (x, y), vx, vy = (float(v) for v in places[0]), 0.0, 0.0
    p, c, v = float(noise[0]), 0.0, FIRST_SPEED_SD**2
    states: list[tuple[float, ...]] = [(x, y, vx, vy)]
    variances: list[tuple[float, ...]] = [(p, c, v)]
    steps = np.diff(seconds).tolist()
    for dt, (zx, zy), r in zip(steps, places[1:].tolist(), noise[1:].tolist(), strict=True):
        x, y = x + vx * dt, y + vy * dt
        p, c, v = _grow(p, c, v, dt)
        gain_p, gain_v = p / (p + r), c / (p + r)
        dx, dy = zx - x, zy - y
        x, y, vx, vy = x + gain_p * dx, y + gain_p * dy, vx + gain_v * dx, vy + gain_v * dy
        p, c, v = p - gain_p * p, c - gain_p * c, v - gain_v * c
        states.append((x, y, vx, vy))
        variances.append((p, c, v))
    return states, variances


def _grow(p: float, c: float, v: float, dt: float) -> tuple[float, float, float]:
    q = JERKINESS
    return (
        p + 2 * dt * c + dt * dt * v + q * dt**3 / 3,
        c + dt * v + q * dt * dt / 2,
        v + q * dt,
    )


def _look_back(
    seconds: F64, states: list[tuple[float, ...]], variances: list[tuple[float, ...]]
) -> tuple[F64, F64]:
    """Return the smoothed places (n, 2) and their variance (n,), from the last to the first."""
    x, y, vx, vy = states[-1]
    p, c, v = variances[-1]
    out = [(x, y, p)]
    steps = np.diff(seconds).tolist()
    for dt, (fx, fy, fvx, fvy), (fp, fc, fv) in zip(
        reversed(steps), reversed(states[:-1]), reversed(variances[:-1]), strict=True
    ):
        ap, ac, av = _grow(fp, fc, fv, dt)
        scale = 1.0 / (ap * av - ac * ac)
        # The gain P F' (P')^-1, row by row.
        u, w = fp + dt * fc, fc + dt * fv
        g00, g01 = (u * av - fc * ac) * scale, (fc * ap - u * ac) * scale
        g10, g11 = (w * av - fv * ac) * scale, (fv * ap - w * ac) * scale
        dp, dc, dv = p - ap, c - ac, v - av
        ex, ey, evx, evy = x - fx - dt * fvx, y - fy - dt * fvy, vx - fvx, vy - fvy
        x, y = fx + g00 * ex + g01 * evx, fy + g00 * ey + g01 * evy
        vx, vy = fvx + g10 * ex + g11 * evx, fvy + g10 * ey + g11 * evy
        p = fp + g00 * (dp * g00 + dc * g01) + g01 * (dc * g00 + dv * g01)
        c = fc + g00 * (dp * g10 + dc * g11) + g01 * (dc * g10 + dv * g11)
        v = fv + g10 * (dp * g10 + dc * g11) + g11 * (dc * g10 + dv * g11)
        out.append((x, y, p))
    found = np.array(out[::-1])
    return found[:, :2], found[:, 2]


def _speed(seconds: F64, places: F64) -> F64:
    """Return the speed over a few seconds around each moment: a swaying head does not walk."""
    if len(seconds) < 2:
        return np.zeros(len(seconds))
    before = np.clip(seconds - SPEED_OVER_S / 2, seconds[0], None)
    after = np.clip(seconds + SPEED_OVER_S / 2, None, seconds[-1])
    moved = [np.interp(after, seconds, axis) - np.interp(before, seconds, axis)
             for axis in places.T]  # fmt: skip
    return np.asarray(np.hypot(*moved) / np.maximum(after - before, 1e-3))


def stretches(path: SmoothPath, bridge_us: int) -> list[tuple[int, int]]:
    """Return the index ranges (first, last) between which no two samples are further apart."""
    breaks = np.flatnonzero(np.diff(path.times_us) > bridge_us)
    edges = [0, *(int(b) + 1 for b in breaks), len(path.times_us)]
    return [(first, beyond - 1) for first, beyond in pairwise(edges)]
