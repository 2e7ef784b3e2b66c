"""BlazeFace: SSD face detector for near faces (Bazarevsky et al., 2019), short and full range."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.models.runtime import Network
from agent.vision.boxes import non_maximum_suppression
from agent.vision.types import F32, U8, Detection

NMS_IOU: Final = 0.3
LOGIT_LIMIT: Final = 80.0
_GRIDS: Final = {128: ((16, 2), (8, 6)), 192: ((48, 1),)}
"""Cells a side and anchors a cell of each feature map, by input side."""
_MOUTH_HALF: Final = 0.414
"""Half the mouth's width as a share of the distance between the eyes in the ArcFace frame."""


class BlazeFace:
    """Find near faces; the mouth's corners are estimated from its centre."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._side = network.inputs[0].shape[1]
        self._anchors = _anchors(self._side)
        shapes = [info.shape for info in network.outputs]
        self._boxes_at = next(i for i, s in enumerate(shapes) if s[-1] == 16)
        self._scores_at = next(i for i, s in enumerate(shapes) if s[-1] == 1)

    def detect(self, image_rgb: U8, *, threshold: float) -> list[Detection]:
        """Return the faces of an (h, w, 3) RGB picture with at least this score."""
        canvas, scale = self._letterbox(image_rgb)
        outputs = self._network.run(canvas[None].astype(np.float32) / 127.5 - 1.0)
        logits = np.clip(outputs[self._scores_at][0, :, 0], -LOGIT_LIMIT, LOGIT_LIMIT)
        scores = 1.0 / (1.0 + np.exp(-logits))
        chosen = np.nonzero(scores >= threshold)[0]
        raw = outputs[self._boxes_at][0, chosen] / self._side
        points = (raw.reshape(-1, 8, 2) + 0.0) * self._side
        points[:, [0, 2, 3, 4, 5, 6, 7]] += self._anchors[chosen][:, None] * self._side
        centre, size, marks = points[:, 0] / scale, points[:, 1] / scale, points[:, 2:] / scale
        boxes = np.concatenate([centre - size / 2, centre + size / 2], axis=1)
        keep = non_maximum_suppression(boxes, scores[chosen], iou=NMS_IOU)
        return [_detection(boxes[i], marks[i], float(scores[chosen[i]])) for i in keep]

    def _letterbox(self, image_rgb: U8) -> tuple[U8, float]:
        height, width = image_rgb.shape[:2]
        scale = self._side / max(height, width)
        target = (max(1, round(width * scale)), max(1, round(height * scale)))
        canvas = np.zeros((self._side, self._side, 3), np.uint8)
        canvas[: target[1], : target[0]] = cv2.resize(
            image_rgb, target, interpolation=cv2.INTER_AREA
        )
        return canvas, scale


def _anchors(side: int) -> NDArray[np.float64]:
    rows = []
    for cells, count in _GRIDS[side]:
        ys, xs = np.mgrid[0:cells, 0:cells]
        centres = np.stack([xs.ravel(), ys.ravel()], axis=1)
        rows.append(np.repeat((centres + 0.5) / cells, count, axis=0))
    return np.concatenate(rows)


def _detection(box: NDArray[np.floating], marks: F32, score: float) -> Detection:
    left_eye, right_eye, nose, mouth = marks[:4]
    half = (right_eye - left_eye) * _MOUTH_HALF
    points = np.stack([left_eye, right_eye, nose, mouth - half, mouth + half])
    return Detection(box.astype(np.float32), points.astype(np.float32), score)
