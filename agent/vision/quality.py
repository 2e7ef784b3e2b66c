"""How much a face is worth for recognition: size, sharpness, pose, detector's score."""

from typing import Final

import cv2
import numpy as np

from agent.vision.align import arcface_crop
from agent.vision.types import U8, Detection

FULL_SIZE_PX: Final = 64.0
"""Box height from which more pixels add nothing to a 112 px embedder."""
SHARP_VARIANCE: Final = 60.0
"""Laplacian variance of the aligned crop at which a face counts as sharp."""


def face_quality(image_rgb: U8, detection: Detection) -> float:
    """Return a quality in 0..1; 0 for a face of 16 px or a full profile."""
    size = np.clip((detection.height_px - 16.0) / (FULL_SIZE_PX - 16.0), 0.0, 1.0)
    grey = cv2.cvtColor(arcface_crop(image_rgb, detection.landmarks_xy), cv2.COLOR_RGB2GRAY)
    sharp = np.clip(cv2.Laplacian(grey, cv2.CV_32F).var() / SHARP_VARIANCE, 0.05, 1.0)
    product = size * float(sharp) ** 0.25 * frontality(detection) * detection.score
    return float(np.clip(product, 0.0, 1.0))


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
