"""Where a tracklet was, as its agent would say: noisy places on the head plane."""

from typing import Final

import numpy as np

from sim.city.making import Making, Unit
from sim.city.types import F64, START_US, GroundPath

FRAME_S: Final = 0.4
FRAME_MISSED: Final = 0.2
MAX_POINTS: Final = 900
"""A longer tracklet is told in larger steps."""
LEAST_AHEAD_M: Final = 0.5


class Paths:
    """Reads paths off a city's works."""

    def __init__(self, making: Making) -> None:
        self._making = making

    def of(self, unit: Unit, row: int) -> GroundPath:
        """Return the path of one tracklet of a unit."""
        recorded, passages = unit.recorded, unit.passages
        which = int(recorded.passage[row])
        start, end = float(recorded.start_s[row]), float(recorded.end_s[row])
        rng = np.random.default_rng(
            [self._making.plan.seed, 7, int(recorded.sightings.sighting[row])]
        )
        step = max(FRAME_S, (end - start) / MAX_POINTS)
        at_s = np.arange(start, end + 1e-9, step)
        seen = rng.random(len(at_s)) >= FRAME_MISSED
        seen[[0, -1]] = True
        at_s = at_s[seen]
        heads = self._heads(unit, which, at_s)
        camera = int(passages.camera[which])
        places, noise = self._making.cameras.optics[camera].see(heads, rng)
        wrong_s = self._making.cameras.clock_error_s(passages.camera[[which]], np.array([start]))[0]
        times = START_US + np.round((at_s + wrong_s) * 1e6).astype(np.int64)
        return GroundPath(times, places, noise)

    def _heads(self, unit: Unit, which: int, at_s: F64) -> F64:
        """Return where the head truly is, (n, 3) on the camera's own ground."""
        passages, people = unit.passages, unit.crowd
        lasts = max(float(passages.end_s[which] - passages.start_s[which]), 1e-3)
        share = ((at_s - passages.start_s[which]) / lasts).clip(0, 1)[:, None]
        flat = passages.from_m[which] + share * (passages.to_m[which] - passages.from_m[which])
        flat[:, 1] = np.maximum(flat[:, 1], LEAST_AHEAD_M)
        who = passages.row[which]
        height = people.standing_m[who] - people.drop_m[who] * bool(passages.seated[which])
        return np.column_stack([flat, np.full(len(flat), height)])
