"""Which face in this frame is which person of the last ones.

Life cycle of a track:
 1. A detection that fits no track starts a tentative one, if it is sure enough to start one; a
    weaker one may only continue a track (Zhang et al., ByteTrack, ECCV 2022).
 2. A tentative track with `CONFIRM_HITS` observations is confirmed.
 3. A tentative track that is not seen for the gap is deleted and never reported.
 4. A confirmed track that is not seen for the gap is finished. The gap is 2.5 s, or three frame
    intervals where frames come more slowly.
 5. A track that takes `DOUBTS` faces on end which fit by place but not by appearance gives them
    up: it goes back to its last face that fitted and waits there for its gap, and the face
    starts a new track (two people swapped places unnoticed).

Association: every pair of face and track has a log-likelihood ratio, "this person" against
"somebody new". Its first part is the place: a Kalman filter predicts the box, less and less
surely while nobody is seen. Its second part, the appearance, costs an embedding: it is worked out
only where the place leaves a doubt (at 5 frames a second and below always), in a track's first
faces, and every `check_every` faces. The assignment with the largest sum wins (Hungarian method);
a pair below zero is never joined.
"""

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

CONFIRM_HITS: Final = 2
MIN_GAP_S: Final = 2.5
GAP_INTERVALS: Final = 3.0
DOUBTS: Final = 3
DOUBT_BELOW: Final = -2.0
"""A face whose appearance has a log ratio below this is a doubt; above zero it ends all doubts."""

SPEED_SD: Final = np.array([5.0, 3.0, 0.25])
"""How people may move at first: across, up and down in face heights/s (5: 1.2 m/s); log size/s."""
UNREST: Final = np.array([6.0, 6.0, 0.03])
"""Spectral density of the acceleration (people turn and stop), per s^3, units squared as above."""
NOISE_SD: Final = np.array([0.08, 0.08, 0.07])
TAIL: Final = 4.0
"""Scatter of a detected box: centre in face heights, log size; degrees of freedom (Student's t),
as sudden turns are commoner than in a normal distribution."""
NEW_FACES: Final = 0.01
"""Density of faces that belong to no track, per squared face height and unit of log size."""
SURE: Final = 6.5
"""A place decides alone if its log ratio is above this and every rival's is below zero."""
SAME_SLOPE: Final = 20.0
SAME_FROM: Final = 0.44
SAME_LIMIT: Final = 8.0
"""Log ratio of appearance: slope * (cosine - from), and no more, as a face may be turned away.
Raw cosines of strangers lie at 0.1-0.2 +/- 0.18, of the same person at 0.5-0.9."""
YOUNG: Final = 3
MEMORY: Final = 8
"""A track's first `YOUNG` faces are all embedded; its appearance is a mean of about `MEMORY`."""

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


@dataclass(slots=True)
class Seen:
    """One face of a frame; `embed` is called only when in doubt, and `place_m` is not needed."""

    bbox_xyxy: F32
    place_m: F64 | None
    embed: Callable[[], F32]
    may_start: bool = True


class Motion:
    """Kalman filter at constant velocity: centre in pixels and log height of one box.

    `state` is (2, 3): values, and their change a second. `covariance` is (3, 2, 2); its pixels
    are in units of the box's height, so that near and far people move alike. Both arrays are
    replaced and never written to, so that a shallow copy is a copy.
    """

    def __init__(self, bbox_xyxy: F32) -> None:
        self.state = np.stack([_measure(bbox_xyxy), np.zeros(3)])
        self.covariance = np.zeros((3, 2, 2))
        self.covariance[:, 0, 0], self.covariance[:, 1, 1] = NOISE_SD**2, SPEED_SD**2

    def predict(self, step_s: float) -> None:
        """Move on in time."""
        move = np.array([[1.0, step_s], [0.0, 1.0]])
        unrest = np.array([[step_s**3 / 3, step_s**2 / 2], [step_s**2 / 2, step_s]])
        self.state = move @ self.state
        self.covariance = move @ self.covariance @ move.T + UNREST[:, None, None] * unrest

    def log_ratio(self, boxes_xyxy: F32) -> F64:
        """Return (n,) log-likelihood ratios of (n, 4) boxes against new faces."""
        spread = self.covariance[:, 0, 0] + NOISE_SD**2
        off = (_measure(boxes_xyxy) - self.state[0]) / self._scale
        far = np.sum(off**2 / spread, axis=1)
        peak = -0.5 * float(np.sum(np.log(2 * np.pi * spread)))
        return np.asarray(peak - np.log(NEW_FACES) - 0.5 * (TAIL + 3) * np.log1p(far / TAIL))

    def observe(self, bbox_xyxy: F32) -> None:
        """Take a box into account."""
        first = self.covariance[:, :, 0]
        gain = first / (first[:, :1] + NOISE_SD[:, None] ** 2)
        off = (_measure(bbox_xyxy) - self.state[0]) / self._scale
        self.state = self.state + gain.T * off * self._scale
        self.covariance = self.covariance - gain[:, :, None] * self.covariance[:, None, 0, :]

    @property
    def _scale(self) -> F64:
        return np.asarray(np.exp(self.state[0, 2] * np.array([1.0, 1.0, 0.0])))


@dataclass(slots=True)
class Track:
    """The live state of one person in one camera."""

    key: int
    last_us: int
    appearance: F32
    motion: Motion
    trusted: Motion
    trusted_us: int
    hits: int = 1
    embedded: int = 1
    since_check: int = 0
    doubts: int = 0

    @property
    def confirmed(self) -> bool:
        """Tell whether the track has been seen often enough to be reported."""
        return self.hits >= CONFIRM_HITS

    def resemblance(self, embedding: F32) -> float:
        """Return the log-likelihood ratio of an appearance."""
        ratio = SAME_SLOPE * (float(embedding @ self.appearance) - SAME_FROM)
        return float(np.clip(ratio, -SAME_LIMIT, SAME_LIMIT))

    def go_back(self, captured_us: int) -> None:
        """Give up the faces since the last one that fitted: they were somebody else's."""
        self.motion = copy(self.trusted)
        self.motion.predict((captured_us - self.trusted_us) / 1e6)
        self.last_us, self.doubts = self.trusted_us, 0

    def check(self, captured_us: int, embedding: F32) -> None:
        """Learn from an appearance that fits, count one that does not."""
        self.since_check = 0
        fits = self.resemblance(embedding)
        if fits <= 0:
            self.doubts += fits < DOUBT_BELOW
            return
        self.doubts, self.trusted, self.trusted_us = 0, copy(self.motion), captured_us
        weight = 1 / min(self.embedded + 1, MEMORY)
        mixed = (1 - weight) * self.appearance + weight * embedding
        self.appearance = np.asarray(mixed / max(float(np.linalg.norm(mixed)), 1e-9), np.float32)
        self.embedded += 1


@dataclass(slots=True)
class Tracker:
    """Assign the faces of each frame to tracks; `check_every` frames the appearance is verified."""

    check_every: int = 5
    tracks: list[Track] = field(default_factory=list)
    _next_key: int = 0
    _last_us: int | None = None
    _interval_s: float = 0.0

    def update(
        self, captured_us: int, faces: Sequence[Seen]
    ) -> tuple[list[int | None], list[Track]]:
        """Take one frame's faces; return each face's track key (or None), and the tracks ended."""
        self._advance(captured_us)
        ended = self._expire(captured_us)
        assigned, embedded = self._assign(faces)
        for i, track in list(assigned.items()):
            track.since_check += 1
            due = track.embedded < YOUNG or track.since_check >= self.check_every
            if due or i in embedded or track.doubts:
                track.check(captured_us, faces[i].embed())
            if track.doubts >= DOUBTS:
                track.go_back(captured_us)
                del assigned[i]
        keys = [self._observe(captured_us, face, assigned.get(i)) for i, face in enumerate(faces)]
        return keys, ended

    def finish(self) -> list[Track]:
        """End every track, as when the stream ends."""
        ended, self.tracks = self.tracks, []
        return ended

    @property
    def gap_s(self) -> float:
        """Return how long a track may go unseen."""
        return max(MIN_GAP_S, GAP_INTERVALS * self._interval_s)

    def _advance(self, captured_us: int) -> None:
        if self._last_us is not None and captured_us > self._last_us:
            step = min((captured_us - self._last_us) / 1e6, 10.0)
            self._interval_s = step if not self._interval_s else min(step, 2 * self._interval_s)
            for track in self.tracks:
                track.motion.predict(step)
        self._last_us = captured_us

    def _expire(self, captured_us: int) -> list[Track]:
        since_us = captured_us - self.gap_s * 1e6 - 1
        ended = [t for t in self.tracks if t.last_us < since_us]
        self.tracks = [t for t in self.tracks if t.last_us >= since_us]
        return ended

    def _assign(self, faces: Sequence[Seen]) -> tuple[dict[int, Track], set[int]]:
        """Return the track of each face that has one, and the faces that had to be embedded."""
        if not faces or not self.tracks:
            return {}, set()
        boxes = np.stack([f.bbox_xyxy for f in faces])
        ratio = np.stack([t.motion.log_ratio(boxes) for t in self.tracks], axis=1)
        possible = ratio > 0
        alone = (possible.sum(axis=1) == 1)[:, None] & (possible.sum(axis=0) == 1)
        sure = (ratio > SURE) & alone
        settled = sure.any(axis=1)
        unsure = set(np.flatnonzero(~settled & (ratio.max(axis=1) > -SAME_LIMIT)).tolist())
        for i in unsure:
            seen = faces[i].embed()
            ratio[i] += [t.resemblance(seen) for t in self.tracks]
        ratio[settled[:, None] | sure.any(axis=0)] = 0
        ratio[sure] = 1
        pairs = zip(*linear_sum_assignment(-np.maximum(ratio, 0)), strict=True)
        return {int(i): self.tracks[j] for i, j in pairs if ratio[i, j] > 0}, unsure

    def _observe(self, captured_us: int, face: Seen, track: Track | None) -> int | None:
        if track is None and not face.may_start:
            return None
        if track is None:
            motion = Motion(face.bbox_xyxy)
            start = captured_us, face.embed(), motion, copy(motion), captured_us
            track = Track(self._next_key, *start)
            self._next_key += 1
            self.tracks.append(track)
        else:
            track.hits, track.last_us = track.hits + 1, captured_us
            track.motion.observe(face.bbox_xyxy)
        return track.key


def _measure(boxes_xyxy: F32) -> F64:
    """Return (..., 3) centre x, centre y, log height of (..., 4) boxes."""
    boxes = np.asarray(boxes_xyxy, np.float64)
    middle, height = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 3] - boxes[..., 1]
    return np.concatenate([middle, np.log(np.maximum(height, 1.0))[..., None]], axis=-1)
