"""How much a face is worth for recognition: size, sharpness, pose, occlusion, score."""

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np

from agent.vision.align import arcface_crop
from agent.vision.types import U8, Box, Detection

FULL_SIZE_PX: Final = 64.0
"""Box height from which more pixels add nothing to a 112 px embedder."""
SHARP_VARIANCE: Final = 60.0
"""Laplacian variance of the aligned crop at which a face counts as sharp."""


def face_quality(image_rgb: U8, detection: Detection, covered_share: float = 0.0) -> float:
    """Return a quality in 0..1; 0 for a face of 16 px, a full profile or a hidden face.

    `covered_share`: the part of the face, in 0..1, that a nearer head hides.
    """
    size = np.clip((detection.height_px - 16.0) / (FULL_SIZE_PX - 16.0), 0.0, 1.0)
    grey = cv2.cvtColor(arcface_crop(image_rgb, detection.landmarks_xy), cv2.COLOR_RGB2GRAY)
    sharp = np.clip(cv2.Laplacian(grey, cv2.CV_32F).var() / SHARP_VARIANCE, 0.05, 1.0)
    shown = np.clip(1.0 - 2.0 * covered_share, 0.0, 1.0)
    pose = frontality(detection)
    product = size * float(sharp) ** 0.25 * pose * detection.score * float(shown)
    return float(np.clip(product, 0.0, 1.0))


def covered_shares(boxes: Sequence[Box]) -> list[float]:
    """Return for each head box which share of it a larger, so nearer, one covers."""
    return [
        max((_shared(box, other) for other in boxes if _area(other) > _area(box)), default=0.0)
        for box in boxes
    ]


def _shared(box: Box, other: Box) -> float:
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    return max(width, 0.0) * max(height, 0.0) / max(_area(box), 1e-9)


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def frontality(detection: Detection) -> float:
    """Return 1 for a frontal face and 0 for a profile, from where the nose lies between the eyes.

    The nose's position along the line between the eyes is 0.5 for a frontal face and leaves
    0..1 for a profile; it falls linearly between 0.5 and 0.05.
    """
    left, right, nose = (detection.landmarks_xy[i].astype(float) for i in range(3))
    axis = right - left
    length = float(axis @ axis)
    if length < 1e-6:
        return 0.0
    along = float((nose - left) @ axis) / length
    return float(np.clip((0.5 - abs(along - 0.5)) / 0.45, 0.0, 1.0))
