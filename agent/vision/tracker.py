"""Which face in this frame is which person of the last ones.

Life cycle of a track:
 1. A detection that fits no track starts a tentative one, if it is sure enough to start one; a
    weaker one may only continue a track (Zhang et al., ByteTrack, ECCV 2022).
 2. A tentative track with `CONFIRM_HITS` observations is confirmed.
 3. A tentative track that is not seen for the gap is deleted and never reported.
 4. A confirmed track that is not seen for the gap is finished. The gap is 1.5 s, or three frame
    intervals where frames come more slowly.
 5. A track whose appearance no longer fits, though its box does, is finished; the face starts a
    new one (two people swapped places between frames).

Association: a box that overlaps exactly one track, and that track only this box, is taken at
once. For all others place and appearance decide together (Hungarian assignment), gated by how
far a person can have walked in the time between, so that one frame a second works as well as 30.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from agent.vision.boxes import iou_matrix as iou

CONFIRM_HITS: Final = 2
MIN_GAP_S: Final = 1.5
GAP_INTERVALS: Final = 3.0
OVERLAP_SURE: Final = 0.4
SPEED_LIMIT_M_S: Final = 3.0
PLACE_SLACK_M: Final = 0.8
SPEED_LIMIT_BOXES_S: Final = 13.0
"""A head box is about 0.23 m high, so 3 m/s are 13 boxes a second."""
PLACE_SLACK_BOXES: Final = 1.5
SIMILAR: Final = 0.30
"""Least raw cosine for a jump without overlap; strangers lie at 0.03-0.2 +/- 0.18."""
SIMILAR_WITH_OVERLAP: Final = 0.10
FORBIDDEN: Final = 1e6

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


@dataclass(slots=True)
class Seen:
    """One face of a frame as the tracker needs it; `embed` is called only when in doubt."""

    bbox_xyxy: F32
    place_m: F64 | None
    embed: Callable[[], F32]
    may_start: bool = True


@dataclass(slots=True)
class Track:
    """The live state of one person in one camera."""

    key: int
    last_us: int
    bbox_xyxy: F32
    place_m: F64 | None
    appearance: F32
    hits: int = 1
    since_check: int = 0

    @property
    def confirmed(self) -> bool:
        """Tell whether the track has been seen often enough to be reported."""
        return self.hits >= CONFIRM_HITS


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
        self._learn_interval(captured_us)
        ended = self._expire(captured_us)
        assigned = self._sure_overlaps(faces)
        ended += self._verify(faces, assigned)
        self._assign_rest(captured_us, faces, assigned)
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

    def _learn_interval(self, captured_us: int) -> None:
        if self._last_us is not None and captured_us > self._last_us:
            step = min((captured_us - self._last_us) / 1e6, 10.0)
            self._interval_s = step if not self._interval_s else min(step, 2 * self._interval_s)
        self._last_us = captured_us

    def _expire(self, captured_us: int) -> list[Track]:
        limit_us = self.gap_s * 1e6 + 1
        ended = [t for t in self.tracks if captured_us - t.last_us > limit_us]
        self.tracks = [t for t in self.tracks if captured_us - t.last_us <= limit_us]
        return ended

    def _sure_overlaps(self, faces: Sequence[Seen]) -> dict[int, Track]:
        overlaps = iou(_stack(faces), _stack(self.tracks)) >= OVERLAP_SURE
        sure = {}
        for i, j in np.argwhere(overlaps):
            if overlaps[i].sum() == 1 and overlaps[:, j].sum() == 1:
                sure[int(i)] = self.tracks[int(j)]
        return sure

    def _verify(self, faces: Sequence[Seen], assigned: dict[int, Track]) -> list[Track]:
        broken = []
        for i, track in list(assigned.items()):
            track.since_check += 1
            if track.since_check < self.check_every:
                continue
            track.since_check = 0
            seen = faces[i].embed()
            if float(seen @ track.appearance) < SIMILAR_WITH_OVERLAP:
                del assigned[i]
                self.tracks.remove(track)
                broken.append(track)
            else:
                track.appearance = _blend(track.appearance, seen)
        return broken

    def _assign_rest(
        self, captured_us: int, faces: Sequence[Seen], assigned: dict[int, Track]
    ) -> None:
        taken = {t.key for t in assigned.values()}
        free_tracks = [t for t in self.tracks if t.key not in taken]
        free_faces = [i for i in range(len(faces)) if i not in assigned]
        if not free_tracks or not free_faces:
            return
        cost = np.array(
            [[_cost(captured_us, faces[i], t) for t in free_tracks] for i in free_faces]
        )
        for row, column in zip(*linear_sum_assignment(cost), strict=True):
            if cost[row, column] < FORBIDDEN:
                assigned[free_faces[row]] = free_tracks[column]

    def _observe(self, captured_us: int, face: Seen, track: Track | None) -> int | None:
        if track is None and not face.may_start:
            return None
        if track is None:
            track = Track(self._next_key, captured_us, face.bbox_xyxy, face.place_m, face.embed())
            self._next_key += 1
            self.tracks.append(track)
        else:
            track.hits += 1
            track.last_us = captured_us
            track.bbox_xyxy, track.place_m = face.bbox_xyxy, face.place_m
        return track.key


def _cost(captured_us: int, face: Seen, track: Track) -> float:
    """Return the cost of a pair in 0..2.5, or `FORBIDDEN`."""
    walked = _walked_share(captured_us, face, track)
    if walked > 1.0:
        return FORBIDDEN
    similarity = float(face.embed() @ track.appearance)
    overlap = float(iou(face.bbox_xyxy[None], track.bbox_xyxy[None])[0, 0])
    least = SIMILAR_WITH_OVERLAP if overlap > 0.25 else SIMILAR
    if similarity < least:
        return FORBIDDEN
    return 0.5 * walked + (1.0 - similarity)


def _walked_share(captured_us: int, face: Seen, track: Track) -> float:
    """Return the distance as a share of what a person can have walked since."""
    gap_s = max((captured_us - track.last_us) / 1e6, 0.0)
    if face.place_m is not None and track.place_m is not None:
        distance = float(np.linalg.norm(face.place_m - track.place_m))
        return distance / (SPEED_LIMIT_M_S * gap_s + PLACE_SLACK_M)
    centres = [(b[:2] + b[2:]) / 2 for b in (face.bbox_xyxy, track.bbox_xyxy)]
    height = float((face.bbox_xyxy[3] - face.bbox_xyxy[1] + track.bbox_xyxy[3]
                    - track.bbox_xyxy[1]) / 2)  # fmt: skip
    boxes = float(np.linalg.norm(centres[0] - centres[1])) / max(height, 1.0)
    return boxes / (SPEED_LIMIT_BOXES_S * gap_s + PLACE_SLACK_BOXES)


def _stack(items: Sequence[Seen] | Sequence[Track]) -> F32:
    return np.stack([i.bbox_xyxy for i in items]) if items else np.zeros((0, 4), np.float32)


def _blend(old: F32, new: F32) -> F32:
    mixed = 0.7 * old + 0.3 * new
    return np.asarray(mixed / max(float(np.linalg.norm(mixed)), 1e-9), np.float32)
