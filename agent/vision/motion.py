"""Motion gating: where nothing moves, nothing runs.

The reference is the picture on which the networks ran last, not the frame before, so that a slow
change adds up until it is seen.
"""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.vision.types import U8, Box

WIDTH: Final = 320
CELL: Final = 4
"""A cell is 4 x 4 of the small picture's pixels: 16 x 16 of a 1280 px wide frame."""
MOVED_LEVELS: Final = 5.0
"""Change of a cell's mean grey that is motion. A sensor's noise moves it by about 0.3, and
flicker of the whole picture is taken out first."""
REFRESH_US: Final = 2_000_000
"""Even in a still scene the networks run this often: a face may have been missed."""


class MotionGate:
    """Remember the last picture that was looked at; tell whether another one is worth a look."""

    def __init__(self, *, refresh_us: int = REFRESH_US) -> None:
        self._refresh_us = refresh_us
        self._reference: NDArray[np.float32] | None = None
        self._looked_us = 0
        self._cell_px = 1.0
        self._moving: NDArray[np.bool_] = np.zeros((0, 0), np.bool_)

    def worth_a_look(self, image_rgb: U8, captured_us: int) -> bool:
        """Compare an (h, w, 3) frame with the reference; it becomes the reference if worth it."""
        cells = self._cells(image_rgb)
        moving = self._compare(cells)
        due = not 0 <= captured_us - self._looked_us < self._refresh_us
        if not due and not moving.any():
            return False
        self._reference, self._looked_us, self._moving = cells, captured_us, moving
        return True

    def moving_boxes(self) -> list[Box]:
        """Return where the last frame worth a look had moved, in its pixels (one box a region)."""
        if not self._moving.any():
            return []
        _, _, stats, _ = cv2.connectedComponentsWithStats(self._moving.astype(np.uint8))
        px = self._cell_px
        return [
            (float(x * px), float(y * px), float((x + w) * px), float((y + h) * px))
            for x, y, w, h, _ in stats[1:]
        ]

    def _cells(self, image_rgb: U8) -> NDArray[np.float32]:
        height, width = image_rgb.shape[:2]
        scale = min(1.0, WIDTH / width)
        self._cell_px = CELL / scale
        size = (max(1, round(width * scale / CELL)), max(1, round(height * scale / CELL)))
        grey = cv2.cvtColor(cv2.resize(image_rgb, size, interpolation=cv2.INTER_AREA),
                            cv2.COLOR_RGB2GRAY)  # fmt: skip
        return np.asarray(grey, np.float32)

    def _compare(self, cells: NDArray[np.float32]) -> NDArray[np.bool_]:
        if self._reference is None or self._reference.shape != cells.shape:
            return np.ones(cells.shape, np.bool_)
        change = cells - self._reference
        return np.asarray(np.abs(change - np.median(change)) > MOVED_LEVELS)
