"""From the observations of a track to finished tracklets: fusing, mask changes, best shots."""

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from agent.vision.boxes import iou_matrix
from agent.vision.faces import Embedder, unit
from agent.vision.types import (
    F32,
    Box,
    Detection,
    FinishedTracklet,
    KeyFrame,
    MaskName,
    MaskStretch,
    PathSample,
)

MASKED_FROM: Final = 0.7
UNMASKED_TO: Final = 0.3
CHANGE_AFTER: Final = 3
"""A mask change is believed after this many observations in a row."""
FUSED_FACES: Final = 8
MAX_OBSERVATIONS: Final = 3600
"""A longer stay is cut into several tracklets, so that memory and replies stay bounded."""
PATH_STEP_MS: Final = 400
MAX_KEY_FRAMES: Final = 3
KEY_FRAME_STEP_US: Final = 4_000_000
SAME_BOX_IOU: Final = 0.3


@dataclass(frozen=True, slots=True)
class Observation:
    """One face of a track in one frame."""

    captured_us: int
    time_uncertainty_s: float
    detection: Detection
    quality: float
    embedding: F32 | None
    mask_probability: float
    place_m: tuple[float, float] | None
    noise_sd_m: float


@dataclass(slots=True)
class _Shot:
    frame: KeyFrame
    quality: float


@dataclass(slots=True)
class TrackRecord:
    """What is remembered of one live track until it becomes tracklets."""

    observations: list[Observation] = field(default_factory=list)
    shots: list[_Shot] = field(default_factory=list)
    state: MaskName = "unsure"

    def add(self, observation: Observation) -> "TrackRecord | None":
        """Add an observation; return the finished part if a mask change or the length cuts it."""
        self.observations.append(observation)
        recent = {mask_name(o.mask_probability) for o in self.observations[-CHANGE_AFTER:]}
        settled = recent.pop() if len(recent) == 1 else "unsure"
        enough = len(self.observations) >= CHANGE_AFTER
        if len(self.observations) >= MAX_OBSERVATIONS:
            return self._cut(0)
        if not enough or settled in ("unsure", self.state):
            return None
        previous, self.state = self.state, settled
        return self._cut(CHANGE_AFTER) if previous != "unsure" else None

    def wants_shot(self, captured_us: int, quality: float) -> bool:
        """Tell whether a frame of this quality would be kept as a key frame."""
        rival = self._rival(captured_us)
        return rival is None or quality > rival.quality + 0.02

    def keep_shot(self, frame: KeyFrame, quality: float) -> None:
        """Keep a key frame in place of its rival: one near in time, or the worst of all."""
        rival = self._rival(frame.captured_us)
        if rival is not None:
            self.shots.remove(rival)
        self.shots.append(_Shot(frame, quality))

    def hold_boxes(self, captured_us: int, boxes: tuple[Box, ...]) -> None:
        """Add a neighbouring frame's other boxes to the key frame taken at `captured_us`."""
        for shot in self.shots:
            if shot.frame.captured_us == captured_us:
                others = shot.frame.other_bboxes_xyxy + boxes
                shot.frame = replace(shot.frame, other_bboxes_xyxy=others)

    def _rival(self, captured_us: int) -> _Shot | None:
        near = [s for s in self.shots
                if abs(s.frame.captured_us - captured_us) < KEY_FRAME_STEP_US]  # fmt: skip
        if near:
            return min(near, key=lambda s: s.quality)
        if len(self.shots) < MAX_KEY_FRAMES:
            return None
        return min(self.shots, key=lambda s: s.quality)

    def _cut(self, keep_last: int) -> "TrackRecord":
        at = len(self.observations) - keep_last
        boundary_us = self.observations[at].captured_us if keep_last else 1 << 62
        done = TrackRecord(
            self.observations[:at],
            [s for s in self.shots if s.frame.captured_us < boundary_us],
            self.state,
        )
        self.observations = self.observations[at:]
        self.shots = [s for s in self.shots if s.frame.captured_us >= boundary_us]
        return done


def finish(
    record: TrackRecord, embedder: Embedder, *, camera_id: str, ordinal: int
) -> FinishedTracklet | None:
    """Make the tracklet of a record; None if no face of it was ever good enough to embed."""
    seen = record.observations
    usable = sorted(
        ((o.quality, o.embedding) for o in seen if o.embedding is not None),
        key=lambda pair: pair[0],
        reverse=True,
    )[:FUSED_FACES]
    if not usable:
        return None
    fused = unit(np.sum([(quality + 0.05) * vector for quality, vector in usable], axis=0))
    probability = float(np.mean([o.mask_probability for o in seen]))
    state = mask_name(probability)
    start_us = seen[0].captured_us
    return FinishedTracklet(
        camera_id=camera_id,
        ordinal=ordinal,
        start_us=start_us,
        end_us=seen[-1].captured_us,
        time_uncertainty_s=max(o.time_uncertainty_s for o in seen),
        embedding=embedder.adapt(fused, state),
        raw_embedding=fused,
        mask_state=state,
        mask_probability=probability,
        quality=float(np.mean([quality for quality, _ in usable[:3]])),
        face_count=len(seen),
        path=_path(seen, start_us),
        masks=_mask_stretches(seen, start_us),
        key_frames=tuple(
            s.frame for s in sorted(record.shots, key=lambda s: s.quality, reverse=True)
        ),
    )


def mask_name(probability: float) -> MaskName:
    """Name the mask state that a probability stands for."""
    if probability >= MASKED_FROM:
        return "masked"
    return "unmasked" if probability <= UNMASKED_TO else "unsure"


def other_boxes(boxes: list[Box], subject: Box) -> tuple[Box, ...]:
    """Return the boxes that are not the subject's own."""
    if not boxes:
        return ()
    overlaps = iou_matrix(np.array(boxes), np.array([subject]))[:, 0]
    return tuple(b for b, o in zip(boxes, overlaps, strict=True) if o < SAME_BOX_IOU)


def _path(seen: list[Observation], start_us: int) -> tuple[PathSample, ...]:
    samples: list[PathSample] = []
    for o in seen:
        offset_ms = (o.captured_us - start_us) // 1000
        too_soon = samples and offset_ms - samples[-1].offset_ms < PATH_STEP_MS
        if o.place_m is None or (too_soon and o is not seen[-1]):
            continue
        samples.append(PathSample(offset_ms, o.place_m[0], o.place_m[1], o.noise_sd_m))
    return tuple(samples)


def _mask_stretches(seen: list[Observation], start_us: int) -> tuple[MaskStretch, ...]:
    """Merge equal neighbouring states; a median over five faces takes out single slips."""
    values = np.array([o.mask_probability for o in seen])
    padded = np.pad(values, 2, mode="edge")
    smooth = np.median(np.lib.stride_tricks.sliding_window_view(padded, 5), axis=1)
    stretches: list[MaskStretch] = []
    for o, probability in zip(seen, smooth, strict=True):
        state = mask_name(float(probability))
        if not stretches or stretches[-1].state != state:
            offset_ms = (o.captured_us - start_us) // 1000
            stretches.append(MaskStretch(offset_ms, state, float(probability)))
    return tuple(stretches)
