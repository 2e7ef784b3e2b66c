"""The whole chain for one camera: frames in, finished tracklets out."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from agent.errors import AgentError
from agent.vision.detector import Detector
from agent.vision.faces import Embedder, MaskClassifier
from agent.vision.ground import CameraCalibration
from agent.vision.motion import MotionGate
from agent.vision.quality import covered_shares, face_quality
from agent.vision.tiles import TileScanner
from agent.vision.tracker import Seen, Tracker
from agent.vision.tracklets import (
    Observation,
    TrackRecord,
    finish,
    other_boxes,
)
from agent.vision.types import F32, U8, Box, Detection, FinishedTracklet, Frame, KeyFrame

START_THRESHOLD: Final = 0.4
CONTINUE_THRESHOLD: Final = 0.25
"""A small masked face scores 0.25-0.5 with CenterFace, background under 0.1 on our clips."""
UNSURE_THRESHOLD: Final = 0.2
"""Regions above this score are no faces to track, but are never shown in evidence."""
MIN_FACE_PX: Final = 18.0
EMBED_EVERY: Final = 5
JPEG_QUALITY: Final = 95


@dataclass(slots=True)
class VisionStats:
    """Counters of one chain; they only grow."""

    frames_total: int = 0
    frames_still_total: int = 0
    faces_total: int = 0
    tracklets_total: int = 0


@dataclass(slots=True)
class _Face:
    """One detected face with what has been worked out about it so far."""

    image_rgb: U8
    detection: Detection
    embedder: Embedder
    masks: MaskClassifier
    covered_share: float
    embedding: F32 | None = None
    _mask_probability: float | None = None
    _quality: float | None = None

    def embed(self) -> F32:
        if self.embedding is None:
            self.embedding = self.embedder.embed(self.image_rgb, self.detection.landmarks_xy)
        return self.embedding

    def mask_probability(self) -> float:
        if self._mask_probability is None:
            points = self.detection.landmarks_xy
            self._mask_probability = self.masks.probability(self.image_rgb, points)
        return self._mask_probability

    def quality(self) -> float:
        if self._quality is None:
            self._quality = face_quality(self.image_rgb, self.detection, self.covered_share)
        return self._quality


class VisionChain:
    """Detect, track, embed, classify and place; deterministic for the same frames."""

    def __init__(
        self,
        *,
        camera_id: str,
        detector: Detector,
        embedder: Embedder,
        masks: MaskClassifier,
        calibration: CameraCalibration | None,
        gate: MotionGate | None = None,
    ) -> None:
        self.stats = VisionStats()
        self._camera_id = camera_id
        self._detector, self._embedder, self._masks = detector, embedder, masks
        self._calibration, self._gate = calibration, gate
        self._tracker = Tracker(check_every=EMBED_EVERY)
        self._records: dict[int, TrackRecord] = {}
        self._ordinal = 0
        self._last_boxes: list[Box] = []
        self._last_faces: list[_Face] = []
        self._fresh_shots: list[tuple[int, int, Box]] = []

    def process(self, frame: Frame) -> list[FinishedTracklet]:
        """Take the next frame; return the tracklets that it ended."""
        still = self._gate is not None and not self._gate.worth_a_look(
            frame.image_rgb, frame.captured_us
        )
        # In a still scene the faces are where they were, and what is known of them holds.
        boxes, faces = (self._last_boxes, self._last_faces) if still else self._find(frame)
        self._hold(boxes)
        seen = [
            Seen(
                f.detection.bbox_xyxy,
                self._place(f.detection)[0],
                f.embed,
                may_start=f.detection.score >= START_THRESHOLD,
            )
            for f in faces
        ]
        keys, ended = self._tracker.update(frame.captured_us, seen)
        done = [t for track in ended for t in self._finish(track.key)]
        for key, face in zip(keys, faces, strict=True):
            if key is not None:
                done += self._observe(key, face, frame, boxes, still=still)
        self._last_boxes, self._last_faces = boxes, faces
        self.stats.frames_total += 1
        self.stats.frames_still_total += still
        self.stats.faces_total += len(faces)
        return done

    def _find(self, frame: Frame) -> tuple[list[Box], list[_Face]]:
        if isinstance(self._detector, TileScanner):
            moving = [] if self._gate is None else self._gate.moving_boxes()
            self._detector.focus([f.detection.box for f in self._last_faces], moving)
        found = self._detector.detect(frame.image_rgb, threshold=UNSURE_THRESHOLD)
        boxes = [d.box for d in found]
        covered = covered_shares(boxes)
        faces = [
            _Face(frame.image_rgb, d, self._embedder, self._masks, share)
            for d, share in zip(found, covered, strict=True)
            if d.score >= CONTINUE_THRESHOLD and d.height_px >= MIN_FACE_PX
        ]
        return boxes, faces

    def flush(self) -> list[FinishedTracklet]:
        """End the stream: return what was still open."""
        return [t for track in self._tracker.finish() for t in self._finish(track.key)]

    def _observe(
        self, key: int, face: _Face, frame: Frame, boxes: list[Box], *, still: bool
    ) -> list[FinishedTracklet]:
        record = self._records.setdefault(key, TrackRecord())
        quality = face.quality()
        best = max((o.quality for o in record.observations[-50:]), default=0.0)
        if len(record.observations) % EMBED_EVERY == 0 or quality > best + 0.05:
            face.embed()
        place, noise_sd_m = self._place(face.detection)
        observation = Observation(
            captured_us=frame.captured_us,
            time_uncertainty_s=frame.time_uncertainty_s,
            detection=face.detection,
            quality=quality,
            # The same picture again would only outvote other views of the face.
            embedding=None if still else face.embedding,
            mask_probability=face.mask_probability(),
            place_m=None if place is None else (float(place[0]), float(place[1])),
            noise_sd_m=noise_sd_m,
        )
        cut = record.add(observation)
        if record.wants_shot(frame.captured_us, quality):
            self._keep_shot(key, record, face.detection, frame, boxes, quality)
        return [] if cut is None else self._finished(cut)

    def _keep_shot(
        self, key: int, record: TrackRecord, detection: Detection, frame: Frame,
        boxes: list[Box], quality: float,
    ) -> None:  # fmt: skip
        subject = detection.box
        others = other_boxes(boxes, subject) + other_boxes(self._last_boxes, subject)
        points = tuple((float(x), float(y)) for x, y in detection.landmarks_xy)
        jpeg = encode_jpeg(frame.image_rgb)
        record.keep_shot(KeyFrame(frame.captured_us, jpeg, subject, others, points), quality)
        self._fresh_shots.append((key, frame.captured_us, subject))

    def _hold(self, boxes: list[Box]) -> None:
        # The next frame's boxes cover a face that the key frame's detection missed.
        for key, captured_us, subject in self._fresh_shots:
            if key in self._records:
                self._records[key].hold_boxes(captured_us, other_boxes(boxes, subject))
        self._fresh_shots = []

    def _place(self, detection: Detection) -> tuple[np.ndarray | None, float]:
        if self._calibration is None:
            return None, 0.0
        centre = (detection.bbox_xyxy[:2] + detection.bbox_xyxy[2:]) / 2
        placed = self._calibration.on_head_plane(centre)
        return (None, 0.0) if placed is None else placed

    def _finish(self, key: int) -> list[FinishedTracklet]:
        record = self._records.pop(key, None)
        confirmed = record is not None and len(record.observations) >= 2
        return self._finished(record) if record is not None and confirmed else []

    def _finished(self, record: TrackRecord) -> list[FinishedTracklet]:
        tracklet = finish(record, self._embedder, camera_id=self._camera_id, ordinal=self._ordinal)
        if tracklet is None:
            return []
        self._ordinal += 1
        self.stats.tracklets_total += 1
        return [tracklet]


def encode_jpeg(image_rgb: U8) -> bytes:
    """Encode an RGB picture as JPEG."""
    bgr = cv2.cvtColor(image_rgb, cv2.COLOR_RGB2BGR)
    ok, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not ok:
        raise AgentError("key frame: cannot be encoded as JPEG")
    return bytes(data)


def decode_picture(data: bytes) -> U8 | None:
    """Decode a picture file to RGB; None if it is none."""
    raw = np.frombuffer(data, np.uint8)
    bgr = cv2.imdecode(raw, cv2.IMREAD_COLOR) if len(raw) else None
    return None if bgr is None else np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
