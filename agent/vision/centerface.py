"""CenterFace: anchor-free face detector (Xu et al., 2019), decoded from its four maps."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.models.runtime import Network
from agent.vision.boxes import non_maximum_suppression
from agent.vision.types import F32, U8, Detection

STRIDE: Final = 4
MAX_CELLS: Final = 4000
"""More cells than this above the threshold are cut to the best; a crowd is some hundreds."""
NMS_IOU: Final = 0.3


class CenterFace:
    """Find faces in a picture; boxes and landmarks come in that picture's pixels."""

    def __init__(self, network: Network) -> None:
        self._network = network
        _, self._height, self._width, _ = network.inputs[0].shape

    def detect(self, image_rgb: U8, *, threshold: float) -> list[Detection]:
        """Return the faces of an (h, w, 3) RGB picture with at least this score."""
        resized, scale = self._letterbox(image_rgb)
        maps = self._network.run(resized[None].astype(np.float32))
        heat, size, offset, marks = (m[0] for m in maps)
        height, width = image_rgb.shape[:2]
        return _decode(heat[:, :, 0], size, offset, marks, threshold, scale, (width, height))

    def _letterbox(self, image_rgb: U8) -> tuple[U8, float]:
        height, width = image_rgb.shape[:2]
        scale = min(self._width / width, self._height / height)
        target = (round(width * scale), round(height * scale))
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        canvas = np.zeros((self._height, self._width, 3), np.uint8)
        canvas[: target[1], : target[0]] = cv2.resize(image_rgb, target, interpolation=how)
        return canvas, scale


def _decode(
    heat: F32, size: F32, offset: F32, marks: F32,
    threshold: float, scale: float, limit_wh: tuple[int, int],
) -> list[Detection]:  # fmt: skip
    rows, cols = np.nonzero(heat >= threshold)
    scores = heat[rows, cols]
    if len(scores) > MAX_CELLS:
        best = np.argsort(-scores)[:MAX_CELLS]
        rows, cols, scores = rows[best], cols[best], scores[best]
    boxes, points = _boxes_and_points(rows, cols, size, offset, marks)
    boxes, points = boxes / scale, points / scale
    boxes[:, 0::2] = np.clip(boxes[:, 0::2], 0, limit_wh[0])
    boxes[:, 1::2] = np.clip(boxes[:, 1::2], 0, limit_wh[1])
    keep = non_maximum_suppression(boxes, scores, iou=NMS_IOU)
    return [
        Detection(boxes[i].astype(np.float32), points[i].astype(np.float32), float(scores[i]))
        for i in keep
        if boxes[i, 2] - boxes[i, 0] >= 2 and boxes[i, 3] - boxes[i, 1] >= 2
    ]


def _boxes_and_points(
    rows: NDArray[np.intp], cols: NDArray[np.intp], size: F32, offset: F32, marks: F32
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    # Size is log(height), log(width) in cells; offsets and landmarks come as (y, x).
    height, width = (np.exp(size[rows, cols, k].astype(float)) * STRIDE for k in (0, 1))
    top = (rows + offset[rows, cols, 0] + 0.5) * STRIDE - height / 2
    left = (cols + offset[rows, cols, 1] + 0.5) * STRIDE - width / 2
    boxes = np.stack([left, top, left + width, top + height], axis=1)
    relative = marks[rows, cols].astype(float).reshape(-1, 5, 2)
    xs = relative[:, :, 1] * width[:, None] + left[:, None]
    ys = relative[:, :, 0] * height[:, None] + top[:, None]
    return boxes, np.stack([xs, ys], axis=2)
