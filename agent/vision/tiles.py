"""Far faces on large frames: the whole frame first, then a few tiles of it at full resolution.

A face of 18 px on a 1920 px frame is 6 px on the detector's input. Looking at every tile of every
frame would cost sixteen inferences, so each frame gets a few: tiles with small faces that are
being followed, then tiles in which something moves, then the others in turn.
"""

from collections.abc import Sequence
from itertools import product
from typing import Final

import numpy as np

from agent.vision.boxes import non_maximum_suppression
from agent.vision.detector import Detector
from agent.vision.types import U8, Box, Detection

TILE_WH: Final = (640, 384)
OVERLAP_PX: Final = 96
"""Tiles overlap by this much; a face up to this height is whole in at least one of them."""
BORDER_PX: Final = 3.0
SAME_FACE_IOU: Final = 0.4
WORTH_TILES: Final = 1.25
"""Frames up to this many times the tile's size are looked at as a whole only."""


class TileScanner:
    """A detector that also looks at up to `per_frame` tiles of a large frame."""

    def __init__(self, detector: Detector, *, per_frame: int) -> None:
        self._detector, self._per_frame = detector, per_frame
        self._followed: list[Box] = []
        self._moving: list[Box] = []
        self._next = 0

    def focus(self, followed: Sequence[Box], moving: Sequence[Box]) -> None:
        """Say where faces were seen last and where something moves, in the frame's pixels."""
        self._followed = [b for b in followed if b[3] - b[1] < OVERLAP_PX]
        self._moving = list(moving)

    def detect(self, image_rgb: U8, *, threshold: float) -> list[Detection]:
        """Return the faces of an (h, w, 3) RGB picture with at least this score."""
        found = self._detector.detect(image_rgb, threshold=threshold)
        height, width = image_rgb.shape[:2]
        if width <= WORTH_TILES * TILE_WH[0] and height <= WORTH_TILES * TILE_WH[1]:
            return found
        for tile in self._choose(tile_boxes(width, height)):
            found = found + self._look(image_rgb, tile, threshold)
        return _merged(found)

    def _choose(self, tiles: Sequence[Box]) -> list[Box]:
        turn = [tiles[(self._next + k) % len(tiles)] for k in range(len(tiles))]
        self._next = (self._next + 1) % len(tiles)
        followed = _covering(tiles, self._followed)
        small = [b for b in self._moving if b[3] - b[1] < OVERLAP_PX and b[2] - b[0] < OVERLAP_PX]
        moving = [t for t in turn if _touched(t, self._moving)]
        ranked = [*followed, *_covering(tiles, small), *moving, *turn]
        return list(dict.fromkeys(ranked))[: self._per_frame]

    def _look(self, image_rgb: U8, tile: Box, threshold: float) -> list[Detection]:
        x1, y1, x2, y2 = (int(v) for v in tile)
        found = self._detector.detect(
            np.ascontiguousarray(image_rgb[y1:y2, x1:x2]), threshold=threshold
        )
        height, width = image_rgb.shape[:2]
        shift = np.array([x1, y1], np.float32)
        return [
            Detection(d.bbox_xyxy + np.tile(shift, 2), d.landmarks_xy + shift, d.score)
            for d in found
            if not _cut_off(d.box, (x2 - x1, y2 - y1), (x1 > 0, y1 > 0, x2 < width, y2 < height))
        ]


def tile_boxes(width: int, height: int) -> list[Box]:
    """Cover a frame with tiles of the detector's size that overlap."""
    columns, rows = _starts(width, TILE_WH[0]), _starts(height, TILE_WH[1])
    return [
        (float(x), float(y), float(min(x + TILE_WH[0], width)), float(min(y + TILE_WH[1], height)))
        for y, x in product(rows, columns)
    ]


def _starts(length: int, tile: int) -> list[int]:
    if length <= tile:
        return [0]
    count = -(-(length - OVERLAP_PX) // (tile - OVERLAP_PX))
    return [round(k * (length - tile) / (count - 1)) for k in range(count)]


def _covering(tiles: Sequence[Box], faces: Sequence[Box]) -> list[Box]:
    """Return tiles that hold each face whole, most faces first."""
    votes: dict[Box, int] = {}
    for face in faces:
        holding = [t for t in tiles if _holds(t, face)]
        if holding:
            middle = max(holding, key=lambda t: _margin(t, face))
            votes[middle] = votes.get(middle, 0) + 1
    return sorted(votes, key=lambda t: -votes[t])


def _holds(tile: Box, face: Box) -> bool:
    return (tile[0] <= face[0] and tile[1] <= face[1] and face[2] <= tile[2]
            and face[3] <= tile[3])  # fmt: skip


def _margin(tile: Box, face: Box) -> float:
    return min(face[0] - tile[0], face[1] - tile[1], tile[2] - face[2], tile[3] - face[3])


def _touched(tile: Box, boxes: Sequence[Box]) -> bool:
    return any(b[0] < tile[2] and tile[0] < b[2] and b[1] < tile[3] and tile[1] < b[3]
               for b in boxes)  # fmt: skip


def _cut_off(box: Box, size_wh: tuple[int, int], inner: tuple[bool, bool, bool, bool]) -> bool:
    """Tell whether a box touches an edge of the tile that is no edge of the frame."""
    gaps = (box[0], box[1], size_wh[0] - box[2], size_wh[1] - box[3])
    return any(edge and gap <= BORDER_PX for edge, gap in zip(inner, gaps, strict=True))


def _merged(found: list[Detection]) -> list[Detection]:
    if not found:
        return []
    boxes = np.stack([d.bbox_xyxy for d in found])
    scores = np.array([d.score for d in found])
    keep = non_maximum_suppression(boxes, scores, iou=SAME_FACE_IOU)
    return [found[i] for i in keep if not _part_of_a_better_one(i, keep, boxes, scores)]


def _part_of_a_better_one(
    index: int, keep: Sequence[int], boxes: np.ndarray, scores: np.ndarray
) -> bool:
    """A coarse box of the whole frame may surround a finer one of a tile without much IoU."""
    rivals = [k for k in keep if k != index and scores[k] > scores[index]]
    if not rivals:
        return False
    low = np.maximum(boxes[rivals, :2], boxes[index, :2])
    high = np.minimum(boxes[rivals, 2:], boxes[index, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    smaller = np.minimum(
        np.prod(boxes[rivals, 2:] - boxes[rivals, :2], axis=1),
        float(np.prod(boxes[index, 2:] - boxes[index, :2])),
    )
    return bool((shared / np.maximum(smaller, 1e-9) > 0.7).any())
