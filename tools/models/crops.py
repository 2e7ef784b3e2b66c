"""Aligned face crops: reading them, degrading them, and drawing masks on them.

A crop is 160x160 RGB, five-point aligned, 1.4 times the ArcFace frame; its centre 114 pixels
are the ArcFace frame itself.
"""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.vision.align import EMBED_SCALE

U8 = NDArray[np.uint8]
CROP = 160
ARC_SIDE = 114
MASK_SIDE = 96
MASK_COLOURS = ((245, 245, 245), (170, 205, 235), (95, 150, 200), (30, 30, 32), (60, 90, 140),
                (225, 200, 190), (120, 125, 130))  # fmt: skip
# ArcFace landmark template (112 px) moved into the 160 px crop.
LANDMARKS = (
    np.array([[38.29, 51.70], [73.53, 51.50], [56.03, 71.74], [41.55, 92.37], [70.73, 92.20]])
    * (ARC_SIDE / 112.0)
    + (CROP - ARC_SIDE) / 2
)


def read_crops(folder: Path) -> tuple[U8, list[str]]:
    """Read every JPEG of a folder as (n, 160, 160, 3) RGB, with names in the same order."""
    files = sorted(folder.glob("*.jpg"))
    images = [cv2.cvtColor(cv2.imread(str(f)), cv2.COLOR_BGR2RGB) for f in files]
    return np.stack(images).astype(np.uint8), [f.name for f in files]


def arcface_frame(crop: U8, *, scale: float = EMBED_SCALE) -> U8:
    """Cut what the embedder sees out of a crop and bring it to 112 px."""
    side = round(ARC_SIDE / scale)
    edge = (CROP - side) // 2
    inner = crop[edge : edge + side, edge : edge + side]
    return np.asarray(cv2.resize(inner, (112, 112), interpolation=cv2.INTER_AREA), np.uint8)


def degrade(crop: U8, rng: np.random.Generator, *, face_px: float | None = None) -> U8:
    """Shrink to a face size, blur, darken, compress and bring back, as a far camera would."""
    face = rng.uniform(24, 90) if face_px is None else face_px
    scale = min(1.0, face / 90.0)
    small_side = max(12, round(CROP * scale))
    image = cv2.resize(crop, (small_side, small_side), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.4:
        image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.3, 1.0)))
    gain, lift = rng.uniform(0.6, 1.35), rng.uniform(-25, 25)
    tint = rng.uniform(0.9, 1.1, 3)
    image = np.clip(image.astype(np.float32) * gain * tint + lift, 0, 255).astype(np.uint8)
    if rng.random() < 0.7:
        quality = int(rng.integers(35, 96))
        image = cv2.imdecode(
            cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR
        )
    kind = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_AREA)[int(rng.integers(3))]
    return np.asarray(cv2.resize(image, (CROP, CROP), interpolation=kind), np.uint8)


def at_face_size(crop: U8, *, face_px: float) -> U8:
    """Show the crop as a camera would that sees the face at this width (90 px is its own)."""
    side = max(12, round(CROP * face_px / 90.0))
    small = cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (CROP, CROP), interpolation=cv2.INTER_LINEAR), np.uint8)


def recompress(crop: U8, *, quality: int) -> U8:
    """Write and read the crop as JPEG."""
    data = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def blur(crop: U8, *, sigma_px: float) -> U8:
    """Blur the crop."""
    return np.asarray(cv2.GaussianBlur(crop, (0, 0), sigma_px), np.uint8)


def random_border(crop: U8, rng: np.random.Generator) -> U8:
    """Replace the outer rim by a fill, so that reflected borders carry no label."""
    if rng.random() < 0.5:
        return crop
    out = crop.copy()
    rim = int(rng.integers(4, 26))
    sides = rng.random(4) < 0.5
    fill = rng.integers(0, 256, 3) if rng.random() < 0.5 else crop.mean((0, 1))
    for on, region in zip(
        sides, (np.s_[:rim], np.s_[-rim:], np.s_[:, :rim], np.s_[:, -rim:]), strict=True
    ):
        if on:
            out[region] = fill
    return out


def cut_out(picture: U8, rng: np.random.Generator) -> U8:
    """Fill a random rectangle, as a hand or a pole would hide it (DeVries and Taylor, 2017)."""
    side = picture.shape[0]
    height, width = rng.integers(side // 10, side * 2 // 5, 2)
    top, left = rng.integers(0, side - height), rng.integers(0, side - width)
    out = picture.copy()
    out[top : top + height, left : left + width] = rng.integers(0, 256, 3)
    return out


def draw_mask(crop: U8, rng: np.random.Generator, *, print_of: U8 | None = None) -> U8:
    """Draw a mask from the nose bridge to under the chin, with shade and pleats.

    `print_of`: another crop whose enlarged part becomes the pattern of the cloth.
    """
    jitter = rng.normal(0, 2.0, (10, 2))
    left, right = LANDMARKS[3][0], LANDMARKS[4][0]
    bridge_y = LANDMARKS[2][1] - rng.uniform(8, 22)
    chin_y = LANDMARKS[3][1] + rng.uniform(24, 40)
    nose_x = LANDMARKS[2][0]
    half = rng.uniform(30, 42)
    points = np.array([
        [nose_x - half, bridge_y + 8], [nose_x - 14, bridge_y], [nose_x, bridge_y - 4],
        [nose_x + 14, bridge_y], [nose_x + half, bridge_y + 8], [right + 22, chin_y - 22],
        [right + 4, chin_y - 3], [nose_x, chin_y], [left - 4, chin_y - 3],
        [left - 22, chin_y - 22],
    ]) + jitter  # fmt: skip
    area = np.zeros((CROP, CROP), np.float32)
    cv2.fillPoly(area, [np.rint(points * 8).astype(np.int32)], 1.0, cv2.LINE_AA, 3)
    colour = np.array(MASK_COLOURS[int(rng.integers(len(MASK_COLOURS)))], np.float32)
    ys, xs = np.mgrid[0:CROP, 0:CROP].astype(np.float32)
    shade = 1 - 0.25 * np.abs(xs - nose_x) / half + rng.uniform(-0.1, 0.1) * (ys - 100) / 30
    light = float(np.clip(crop[90:130, 50:110].mean() / 130.0, 0.35, 1.25))
    if print_of is not None:
        at = rng.integers(0, CROP - 60, 2)
        part = print_of[at[0] : at[0] + 60, at[1] : at[1] + 60]
        dye = cv2.resize(part, (CROP, CROP), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    else:
        dye = np.broadcast_to(colour, crop.shape)
    cloth = dye * np.clip(shade, 0.4, 1.2)[..., None] * light
    if rng.random() < 0.6:  # pleats
        cloth *= 1 - 0.12 * (np.sin(ys / rng.uniform(2.5, 5.0)) > 0.75)[..., None]
    alpha = cv2.GaussianBlur(area, (0, 0), 0.8)[..., None]
    out = crop * (1 - alpha) + np.clip(cloth, 0, 255) * alpha
    return np.asarray(np.clip(out, 0, 255), np.uint8)
