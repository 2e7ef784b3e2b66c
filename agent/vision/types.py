"""Values that travel through the vision chain."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]
Box = tuple[float, float, float, float]
MaskName = Literal["masked", "unmasked", "unsure"]


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture: `image_rgb` (h, w, 3) uint8 and when it was taken."""

    image_rgb: U8
    captured_us: int
    time_uncertainty_s: float
    index: int


@dataclass(frozen=True, slots=True)
class Detection:
    """One face: `bbox_xyxy` (4,), `landmarks_xy` (5, 2), score in 0..1.

    Landmarks in the order of the picture's left eye, right eye, nose, left and right mouth corner.
    """

    bbox_xyxy: F32
    landmarks_xy: F32
    score: float

    @property
    def box(self) -> Box:
        """Return the box as plain floats."""
        x1, y1, x2, y2 = (float(v) for v in self.bbox_xyxy)
        return x1, y1, x2, y2

    @property
    def height_px(self) -> float:
        """Return the height of the box in pixels."""
        return float(self.bbox_xyxy[3] - self.bbox_xyxy[1])


@dataclass(frozen=True, slots=True)
class PathSample:
    """A head's place on the camera's ground plane; the pole's foot is the origin."""

    offset_ms: int
    x_m: float
    y_m: float
    noise_sd_m: float


@dataclass(frozen=True, slots=True)
class MaskStretch:
    """A stretch of a tracklet with one mask state; `probability` is P(masked)."""

    offset_ms: int
    state: MaskName
    probability: float


@dataclass(frozen=True, slots=True)
class KeyFrame:
    """A whole frame kept as possible evidence, with every other box near it in time."""

    captured_us: int
    jpeg: bytes
    subject_bbox_xyxy: Box
    other_bboxes_xyxy: tuple[Box, ...]
    landmarks_xy: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class FinishedTracklet:
    """A finished passage of one person through one camera.

    `embedding`: (192,) adapted unit vector, fused by quality. `ordinal`: number of the tracklet
    in this run, the same whenever the same frames are read again. `raw_embedding`: (192,) before
    adaptation, for the cohort's statistics; neither stored nor sent.
    """

    camera_id: str
    ordinal: int
    start_us: int
    end_us: int
    time_uncertainty_s: float
    embedding: F32
    mask_state: MaskName
    mask_probability: float
    quality: float
    face_count: int
    path: tuple[PathSample, ...]
    masks: tuple[MaskStretch, ...]
    key_frames: tuple[KeyFrame, ...]
    raw_embedding: F32 | None = None
