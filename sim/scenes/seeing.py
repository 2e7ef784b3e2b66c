"""What the agent makes of somebody's presence: tracklets, where and while the face is visible."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from controller.domain.types import MaskMoment, PersonTrack
from sim.scenes.camera import PoleCamera
from sim.scenes.motion import STEP_S, Life
from sim.scenes.people import Someone

Flags = NDArray[np.bool_]

TRACK_GAP_S: Final = 2.5
"""A tracker loses a face that it does not see for longer."""
LEAST_FACES: Final = 3
MISSED_SHARE: Final = 0.2
MAX_FACES: Final = 3600
MASK_CHANGES: Final = 0.1
ALWAYS_SHARE: Final = 0.97


@dataclass(frozen=True, slots=True)
class Visibility:
    """How much of the time a face is visible, and how long a hidden spell lasts on average."""

    share: float
    hidden_mean_s: float


def draw_visibility(rng: np.random.Generator) -> Visibility:
    """Draw from nearly never to always visible, in spells of some seconds to minutes."""
    return Visibility(
        float(rng.uniform(0.2, 1.0)), float(np.clip(rng.lognormal(2.7, 0.6), 4.0, 90.0))
    )


def visible(times_s: NDArray[np.float64], how: Visibility, rng: np.random.Generator) -> Flags:
    """Draw spells of a visible and a hidden face on a grid of moments."""
    out = np.ones(len(times_s), bool)
    if how.share >= ALWAYS_SHARE:
        return out
    shown_mean_s = how.hidden_mean_s * how.share / (1 - how.share)
    shown, at = bool(rng.random() < how.share), 0.0
    while at < times_s[-1]:
        lasts_s = float(rng.exponential(shown_mean_s if shown else how.hidden_mean_s))
        out[(times_s >= at) & (times_s < at + lasts_s)] = shown
        at, shown = at + lasts_s, not shown
    return out


def tracklets(
    life: Life, camera: PoleCamera, who: Someone, shown: Flags, start_us: int, *,
    is_subject: bool, rng: np.random.Generator,
) -> list[PersonTrack]:  # fmt: skip
    """Return the tracklets that the camera's agent would hold of somebody."""
    detected = life.there & shown & camera.in_view(life.heads_m[:, :2])
    detected &= rng.random(len(shown)) >= MISSED_SHARE
    at = np.flatnonzero(detected)
    if not len(at):
        return []
    changes_s = life.times_s[at[0]] + rng.random() * (life.times_s[at[-1]] - life.times_s[at[0]])
    masked = np.full(len(shown), who.masked)
    if rng.random() < MASK_CHANGES:
        masked ^= life.times_s > changes_s
    cuts = (np.diff(at) * STEP_S > TRACK_GAP_S) | (np.diff(masked[at].astype(int)) != 0)
    runs = [
        run[k : k + MAX_FACES]
        for run in np.split(at, np.flatnonzero(cuts) + 1)
        for k in range(0, len(run), MAX_FACES)
    ]
    return [
        _tracklet(life, run, camera, who, bool(masked[run[0]]), start_us, is_subject, rng)
        for run in runs
        if len(run) >= LEAST_FACES
    ]


def _tracklet(
    life: Life, run: NDArray[np.intp], camera: PoleCamera, who: Someone, masked: bool,
    start_us: int, is_subject: bool, rng: np.random.Generator,
) -> PersonTrack:  # fmt: skip
    placed, noise = camera.see(life.heads_m[run], rng)
    times = start_us + np.round(life.times_s[run] * 1e6).astype(np.int64)
    return PersonTrack(
        tracklet_id=UUID(bytes=rng.bytes(16)),
        is_subject=is_subject,
        start_us=int(times[0]),
        end_us=int(times[-1]),
        times_us=times,
        places_m=placed,
        noise_sd_m=noise,
        masks=(MaskMoment(int(times[0]), "masked" if masked else "unmasked"),),
        template=who.template(masked, rng),
        quality=0.6,
    )
