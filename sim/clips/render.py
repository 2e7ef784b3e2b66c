"""Draw the frames: a plain street, people as photographs on drawn bodies, light and noise."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from sim.clips.optics import HEIGHT, WIDTH, Optics
from sim.clips.script import CameraScript, Stay
from sim.errors import SimError
from sim.photos import Photo, photo_named

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]
Box = tuple[float, float, float, float]
FACE_HEIGHT_M: Final = 0.25
"""Height of a face box (brow line to chin with hair) in the world."""
SOURCE_FACE_PX: Final = 150.0
JACKETS: Final = ((44, 48, 66), (70, 60, 50), (52, 70, 60), (84, 84, 92))


@dataclass(frozen=True, slots=True)
class Cutout:
    """A head and shoulders with soft edges: `rgba` float (h, w, 4), face box in its pixels."""

    rgba: F32
    face_xyxy: Box


class Renderer:
    """Draws one camera's frames; the same seed gives the same pixels."""

    def __init__(self, camera: CameraScript, photos: Path, seed: int) -> None:
        self._camera = camera
        self._optics = Optics(camera.height_m, camera.tilt_rad)
        self._rng = np.random.default_rng([seed, int(camera.camera_id.split("-")[1])])
        self._street = _street(self._optics, self._rng)
        self._noise = self._rng.normal(0, 1.3, (HEIGHT + 64, WIDTH + 64, 1)).astype(np.float32)
        self._cutouts = {s: load_cutout(photos, s.photo, masked=s.masked) for s in camera.stays}
        self._jackets = {s: JACKETS[int(self._rng.integers(len(JACKETS)))] for s in camera.stays}

    def frame(self, t_s: int) -> tuple[U8, list[tuple[Stay, Box, tuple[float, float]]]]:
        """Return the RGB frame at a second, and who is in it: stay, face box, place in metres."""
        image = self._street.copy()
        here = [(s, p) for s in self._camera.stays if (p := s.place_at(t_s)) is not None]
        faces = []
        for stay, place in sorted(here, key=lambda item: -item[1][1]):
            box = self._person(image, stay, place, t_s)
            if box[0] >= 4 and box[2] <= WIDTH - 4:
                faces.append((stay, box, place))
        return self._light(image), faces

    def _person(self, image: U8, stay: Stay, place: tuple[float, float], t_s: int) -> Box:
        walking = not stay.arrive_s <= t_s <= stay.leave_s
        x, y, scale = self._optics.project(*place, stay.head_m)
        x += float(self._rng.normal(0, 1.0))
        _body(image, self._optics, place, stay.head_m, self._jackets[stay])
        cutout = self._cutouts[stay]
        size = FACE_HEIGHT_M * scale / (cutout.face_xyxy[3] - cutout.face_xyxy[1])
        angle = float(self._rng.normal(0, 1.2))
        blur = 3 if walking else 0
        return _paste(image, cutout, (x, y), size, angle, blur, float(self._rng.normal(1, 0.03)))

    def _light(self, image: U8) -> U8:
        gain, lift = float(self._rng.normal(1.0, 0.02)), float(self._rng.normal(0, 2))
        dx, dy = self._rng.integers(0, 64, 2)
        noise = self._noise[dy : dy + HEIGHT, dx : dx + WIDTH]
        lit = image.astype(np.float32) * gain + (lift + noise)
        return np.asarray(np.clip(lit, 0, 255), np.uint8)


def load_cutout(photos: Path, name: str, *, masked: bool) -> Cutout:
    """Cut head and shoulders out of a photograph, with a drawn mask if asked."""
    photo = photo_named(name)
    bgr = cv2.imread(str(photos / name), cv2.IMREAD_COLOR)
    if bgr is None:
        raise SimError(f"photos: {name} cannot be read; fetch the photos again")
    image = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    if masked:
        image = _draw_mask(np.asarray(image, np.uint8), photo)
    x1, y1, x2, y2 = photo.face_xyxy
    w, h = x2 - x1, y2 - y1
    left, top = max(0, int(x1 - 0.75 * w)), max(0, int(y1 - 0.28 * h))
    right, bottom = min(image.shape[1], int(x2 + 0.75 * w)), min(image.shape[0], int(y2 + 0.5 * h))
    part = image[top:bottom, left:right].astype(np.float32)
    face = (x1 - left, y1 - top, x2 - left, y2 - top)
    alpha = _silhouette(part.shape[:2], face)
    shrink = SOURCE_FACE_PX / h
    how = cv2.INTER_AREA if shrink < 1 else cv2.INTER_CUBIC
    whole = np.dstack([part, alpha * 255]).astype(np.float32)
    rgba = cv2.resize(whole, None, fx=shrink, fy=shrink, interpolation=how)
    scaled = tuple(float(v * shrink) for v in face)
    return Cutout(np.asarray(rgba, np.float32), (scaled[0], scaled[1], scaled[2], scaled[3]))


def _silhouette(shape: tuple[int, ...], face: Box) -> F32:
    x1, y1, x2, y2 = face
    w, h = x2 - x1, y2 - y1
    area = np.zeros(shape, np.float32)
    centre = (round((x1 + x2) / 2), round((y1 + y2) / 2 - 0.04 * h))
    cv2.ellipse(area, centre, (round(0.66 * w), round(0.64 * h)), 0, 0, 360, 1.0, -1)
    shoulders = np.array([
        [x1 + 0.12 * w, y2 - 0.12 * h], [x2 - 0.12 * w, y2 - 0.12 * h],
        [x2 + 0.6 * w, y2 + 0.5 * h], [x1 - 0.6 * w, y2 + 0.5 * h],
    ])  # fmt: skip
    cv2.fillPoly(area, [np.rint(shoulders).astype(np.int32)], 1.0)
    return np.asarray(cv2.GaussianBlur(area, (0, 0), 0.02 * h), np.float32)


def _draw_mask(image: U8, photo: Photo) -> U8:
    """Draw a cloth mask over nose, mouth and chin along the marked landmarks."""
    points = np.array(photo.landmarks_xy, float)
    eyes, mouth = points[:2].mean(0), points[3:].mean(0)
    across = points[1] - points[0]
    width = float(np.linalg.norm(across))
    across /= width
    down = (mouth - eyes) / float(np.linalg.norm(mouth - eyes))
    bridge = eyes + 0.32 * (points[2] - eyes)
    chin = mouth + down * 0.72 * width
    half = 0.86 * width
    outline = np.array([
        bridge - across * 0.18 * width, bridge + across * 0.18 * width,
        points[2] + across * half - down * 0.1 * width, mouth + across * 0.78 * width,
        chin + across * 0.34 * width, chin - across * 0.34 * width,
        mouth - across * 0.78 * width, points[2] - across * half - down * 0.1 * width,
    ])  # fmt: skip
    area = np.zeros(image.shape[:2], np.float32)
    cv2.fillPoly(area, [np.rint(outline).astype(np.int32)], 1.0)
    soft = np.asarray(cv2.GaussianBlur(area, (0, 0), max(1.0, 0.015 * width)))[:, :, None]
    ys, xs = np.mgrid[0 : image.shape[0], 0 : image.shape[1]].astype(np.float32)
    side = ((xs - mouth[0]) * across[0] + (ys - mouth[1]) * across[1]) / half
    along = (xs - mouth[0]) * down[0] + (ys - mouth[1]) * down[1]
    shade = 1.0 - 0.22 * np.abs(side) - 0.06 * (np.sin(along / (0.05 * width)) > 0.8)
    cloth = np.array([176.0, 205.0, 228.0], np.float32) * np.clip(shade, 0.5, 1.1)[:, :, None]
    return np.asarray(np.clip(image * (1 - soft) + cloth * soft, 0, 255), np.uint8)


def _paste(
    image: U8, cutout: Cutout, centre: tuple[float, float], size: float, angle: float, blur: int,
    gain: float,
) -> Box:  # fmt: skip
    """Blend a cutout so that its face's centre lies at `centre`; return the face's box."""
    fx1, fy1, fx2, fy2 = cutout.face_xyxy
    middle = ((fx1 + fx2) / 2, (fy1 + fy2) / 2)
    height, width = cutout.rgba.shape[:2]
    reach = int(np.ceil(max(width, height) * size * 0.8)) + 4
    x0, y0 = int(centre[0]) - reach, int(centre[1]) - reach
    source = cutout.rgba
    if size < 0.6:
        # A strong reduction would alias in the warp, so soften first.
        source = np.asarray(cv2.GaussianBlur(source, (0, 0), 0.35 / size), np.float32)
    matrix = cv2.getRotationMatrix2D(middle, angle, size)
    matrix[:, 2] += np.array([centre[0] - x0 - middle[0], centre[1] - y0 - middle[1]])
    patch = cv2.warpAffine(source, matrix, (2 * reach, 2 * reach), flags=cv2.INTER_LINEAR)
    if blur:
        patch = cv2.blur(patch, (blur, 1))
    _blend(image, np.asarray(patch, np.float32), x0, y0, gain)
    half_w, half_h = (fx2 - fx1) * size / 2, (fy2 - fy1) * size / 2
    return (centre[0] - half_w, centre[1] - half_h, centre[0] + half_w, centre[1] + half_h)


def _blend(image: U8, patch: F32, x0: int, y0: int, gain: float) -> None:
    height, width = image.shape[:2]
    x1, y1 = max(x0, 0), max(y0, 0)
    x2, y2 = min(x0 + patch.shape[1], width), min(y0 + patch.shape[0], height)
    if x1 >= x2 or y1 >= y2:
        return
    part = patch[y1 - y0 : y2 - y0, x1 - x0 : x2 - x0]
    alpha = part[:, :, 3:] / 255.0
    under = image[y1:y2, x1:x2].astype(np.float32)
    image[y1:y2, x1:x2] = np.clip(under * (1 - alpha) + part[:, :, :3] * gain * alpha, 0, 255)


def _body(
    image: U8, optics: Optics, place: tuple[float, float], head_m: float,
    jacket: tuple[int, int, int],
) -> None:  # fmt: skip
    x, y = place
    shadow = [optics.project(x + dx, y + dy, 0.0)[:2] for dx, dy in
              ((-0.3, -0.15), (0.3, -0.15), (0.35, 0.2), (-0.35, 0.2))]  # fmt: skip
    cv2.fillPoly(image, [np.rint(shadow).astype(np.int32)], (98, 98, 100), cv2.LINE_AA)
    for top, bottom, half, colour in (
        (head_m - 0.62, 0.0, 0.17, (48, 50, 58)),
        (head_m - 0.20, head_m - 0.72, 0.24, jacket),
    ):
        corners = [optics.project(x + dx, y, z)[:2] for dx, z in
                   ((-half, top), (half, top), (half, bottom), (-half, bottom))]  # fmt: skip
        cv2.fillPoly(image, [np.rint(corners).astype(np.int32)], colour, cv2.LINE_AA)


def _street(optics: Optics, rng: np.random.Generator) -> U8:
    """Draw pavement with slabs and a wall; nothing on it looks like a face."""
    image = np.full((HEIGHT, WIDTH, 3), (150, 148, 144), np.uint8)
    for k in range(-24, 25):
        a, b = (optics.project(k * 0.8, y, 0.0) for y in (2.2, 14.0))
        cv2.line(image, (int(a[0]), int(a[1])), (int(b[0]), int(b[1])), (138, 136, 132), 1)
    for k in range(16):
        y = optics.project(0, 2.4 + k * 0.8, 0.0)[1]
        cv2.line(image, (0, int(y)), (WIDTH, int(y)), (140, 138, 134), 1)
    foot = int(optics.project(0, 11.0, 0.0)[1])
    wall = tuple(int(v) for v in rng.integers(120, 190, 3))
    if foot > 0:
        image[:foot] = wall
        cv2.line(image, (0, foot), (WIDTH, foot), (90, 88, 86), 3)
    return np.asarray(cv2.GaussianBlur(image, (3, 3), 0), np.uint8)
