"""Geometry of boxes in `xyxy` pixels."""

import numpy as np
from numpy.typing import NDArray

F = NDArray[np.floating]


def iou_matrix(left: F, right: F) -> NDArray[np.float64]:
    """Return the (n, m) intersection-over-union of (n, 4) and (m, 4) boxes."""
    if not len(left) or not len(right):
        return np.zeros((len(left), len(right)))
    top = np.maximum(left[:, None, :2], right[None, :, :2])
    bottom = np.minimum(left[:, None, 2:], right[None, :, 2:])
    inter = np.prod(np.clip(bottom - top, 0, None), axis=2)
    areas = [np.prod(b[:, 2:] - b[:, :2], axis=1) for b in (left, right)]
    union = areas[0][:, None] + areas[1][None, :] - inter
    return np.asarray(inter / np.maximum(union, 1e-9), np.float64)


def non_maximum_suppression(boxes: F, scores: F, *, iou: float) -> list[int]:
    """Return the indices of the boxes to keep, best score first (greedy NMS)."""
    order = list(np.argsort(-scores, kind="stable"))
    overlaps = iou_matrix(boxes, boxes)
    keep: list[int] = []
    for index in order:
        if all(overlaps[index, kept] <= iou for kept in keep):
            keep.append(int(index))
    return keep


def grow(box: tuple[float, float, float, float], by: float) -> tuple[float, float, float, float]:
    """Enlarge a box by a share of its larger side on every edge."""
    x1, y1, x2, y2 = box
    margin = by * max(x2 - x1, y2 - y1)
    return x1 - margin, y1 - margin, x2 + margin, y2 + margin
