"""Five-point alignment to the ArcFace frame (Deng et al., CVPR 2019)."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.vision.types import F32, U8

ARCFACE_112: Final = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655],
     [70.7299, 92.2041]], np.float64)  # fmt: skip
MASK_SIDE: Final = 96
REACH: Final = 3.0
"""How far around the landmarks, in their own spread, a crop can reach; the rest is cut away."""
_MASK_FRAME: Final = (ARCFACE_112 * (114 / 112) + 23) * (MASK_SIDE / 160)
"""The mask crop is 1.4 times the ArcFace frame: landmarks in its 96 pixels."""


EMBED_SCALE: Final = 0.92
"""The embedder sees a little more around the face than the frame it was trained on: strangers of
a held-out cohort then lie 0.01 further apart and degraded pairs 0.01 closer together."""
_EMBED_FRAME: Final = (ARCFACE_112 - 56) * EMBED_SCALE + 56


def similarity_transform(source: NDArray[np.floating], target: NDArray[np.floating]) -> F32:
    """Return the (2, 3) least-squares similarity that maps (n, 2) points onto others.

    Source: Umeyama, "Least-squares estimation of transformation parameters", TPAMI 1991.
    """
    src_mean, dst_mean = source.mean(0), target.mean(0)
    src, dst = source - src_mean, target - dst_mean
    u, singular, vt = np.linalg.svd(dst.T @ src / len(src))
    sign = np.ones(2)
    if np.linalg.det(u @ vt) < 0:
        sign[1] = -1
    rotation = (u * sign) @ vt
    scale = float((singular * sign).sum() / max(src.var(0).sum(), 1e-9))
    shift = dst_mean - scale * rotation @ src_mean
    return np.asarray(np.hstack([scale * rotation, shift[:, None]]), np.float32)


def arcface_crop(image_rgb: U8, landmarks_xy: F32) -> U8:
    """Return the (112, 112, 3) crop of a face that the embedder wants."""
    return _warp(image_rgb, landmarks_xy, _EMBED_FRAME, 112)


def mask_crop(image_rgb: U8, landmarks_xy: F32) -> U8:
    """Return the (96, 96, 3) crop, 1.4 times the ArcFace frame, that the mask network wants."""
    return _warp(image_rgb, landmarks_xy, _MASK_FRAME, MASK_SIDE)


def _warp(image_rgb: U8, landmarks_xy: F32, frame: NDArray[np.float64], side: int) -> U8:
    points = landmarks_xy.astype(np.float64)
    matrix = similarity_transform(points, frame)
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if scale < 0.6:
        # A large face is shrunk first, else the warp would skip pixels and alias.
        image_rgb, points = _shrink_around(image_rgb, points, scale)
        matrix = similarity_transform(points, frame)
    warped = cv2.warpAffine(
        image_rgb, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    return np.asarray(warped, np.uint8)


def _shrink_around(
    image_rgb: U8, points: NDArray[np.float64], scale: float
) -> tuple[U8, NDArray[np.float64]]:
    # Only the face's surroundings: shrinking a whole frame for one face would take longer
    # than the network that looks at it.
    spread = float(np.ptp(points, axis=0).max())
    low = np.maximum(np.floor(points.min(0) - REACH * spread), 0).astype(int)
    high = np.ceil(points.max(0) + REACH * spread).astype(int)
    part = image_rgb[low[1] : high[1], low[0] : high[0]]
    height, width = part.shape[:2]
    if not height or not width:
        return image_rgb, points
    target = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(part, target, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8), (points - low) * [target[0] / width, target[1] / height]
