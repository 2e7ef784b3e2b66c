"""Redaction by allow-list: everything is filled except the subject's own head.

What is not known to be the subject is not shown, so a face that the detector missed is filled
by construction. Every other box that reaches into the kept region is filled on top of it. It
fails closed: when in doubt there is no picture.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from agent.errors import AgentError
from agent.vision.boxes import grow, iou_matrix
from agent.vision.detector import Detector
from agent.vision.types import U8, Box, Detection

FILL_RGB: Final = (96, 96, 96)
KEEP_MARGIN: Final = 0.12
OTHER_MARGIN: Final = 0.35
UNSURE_THRESHOLD: Final = 0.15
SUBJECT_THRESHOLD: Final = 0.4
SUBJECT_IOU: Final = 0.4
MAX_COVERED: Final = 0.25
"""A subject whose face is covered by more than this share of other boxes is not shown."""


class RedactionRefused(AgentError):
    """No picture may leave: the subject cannot be shown without risk to others."""


@dataclass(frozen=True, slots=True)
class RedactedPicture:
    """A picture that shows the subject only, and how similar its face is to the probe."""

    image_rgb: U8
    subject_bbox_xyxy: Box
    others_filled: int
    similarity: float


def redact(
    image_rgb: U8,
    *,
    detector: Detector,
    subject_bbox_xyxy: Box,
    other_bboxes_xyxy: Sequence[Box],
    similarity_of: Callable[[U8, Detection], float],
    min_similarity: float,
) -> RedactedPicture:
    """Show the subject and nobody else.

    `subject_bbox_xyxy`: where the subject was tracked; `other_bboxes_xyxy`: every other box of
    this frame and its neighbours; `similarity_of`: cosine of a detected face with the probe.
    Raises `RedactionRefused` with the reason.
    """
    found = detector.detect(image_rgb, threshold=UNSURE_THRESHOLD)
    subject = _subject_among(found, subject_bbox_xyxy)
    similarity = similarity_of(image_rgb, subject)
    if similarity < min_similarity:
        raise RedactionRefused("the face in the key frame does not match the probe")
    others = [d.box for d in found if d is not subject] + list(other_bboxes_xyxy)
    shown = _keep_only(image_rgb, subject, others)
    return RedactedPicture(shown, subject.box, len(others), similarity)


def keep_only_box(image_rgb: U8, subject: Detection, others: Sequence[Box]) -> U8:
    """Fill everything but one detected face and what of it no other box touches."""
    return _keep_only(image_rgb, subject, others)


def _subject_among(found: Sequence[Detection], expected: Box) -> Detection:
    sure = [d for d in found if d.score >= SUBJECT_THRESHOLD]
    if not sure:
        raise RedactionRefused("the detector finds no face in the key frame")
    overlaps = iou_matrix(np.stack([d.bbox_xyxy for d in sure]), np.array([expected]))[:, 0]
    best = int(np.argmax(overlaps))
    if overlaps[best] < SUBJECT_IOU:
        raise RedactionRefused("the detector does not find the subject where it was tracked")
    return sure[best]


def _keep_only(image_rgb: U8, subject: Detection, others: Sequence[Box]) -> U8:
    height, width = image_rgb.shape[:2]
    kept = np.zeros((height, width), np.uint8)
    _ellipse(kept, grow(subject.box, KEEP_MARGIN), 255)
    face_area = max(int(np.count_nonzero(kept)), 1)
    for box in others:
        _rectangle(kept, grow(box, OTHER_MARGIN), 0)
    covered = 1.0 - np.count_nonzero(kept) / face_area
    if covered > MAX_COVERED:
        raise RedactionRefused(f"another face covers {covered:.0%} of the subject's")
    filled = np.full_like(image_rgb, FILL_RGB)
    return np.asarray(np.where(kept[:, :, None] > 0, image_rgb, filled), np.uint8)


def _ellipse(canvas: U8, box: Box, value: int) -> None:
    x1, y1, x2, y2 = box
    centre = (round((x1 + x2) / 2), round((y1 + y2) / 2))
    axes = (max(1, round((x2 - x1) / 2)), max(1, round((y2 - y1) / 2)))
    cv2.ellipse(canvas, centre, axes, 0.0, 0.0, 360.0, value, -1)


def _rectangle(canvas: U8, box: Box, value: int) -> None:
    x1, y1, x2, y2 = (round(v) for v in box)
    canvas[max(0, y1) : max(0, y2), max(0, x1) : max(0, x2)] = value
