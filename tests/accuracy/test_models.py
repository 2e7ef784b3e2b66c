"""The pack's networks on real photographs, bare and with a drawn mask, large and small."""

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.models.pack import load_pack
from agent.models.runtime import load_network
from agent.vision.build import VisionSettings, build_masks
from agent.vision.centerface import CenterFace
from agent.vision.faces import Embedder
from agent.vision.types import F32, U8, Detection
from sim.clips.render import _draw_mask
from sim.photos import PHOTOS, Photo, PhotoUnavailable, fetch_photos

PHOTO_FOLDER = Path(__file__).parents[2] / "build" / "photos"
PACK = load_pack()
FACE_WIDTHS_PX = (60, 40, 28)
DETECT_AT = 0.5
STRANGERS_BELOW = 0.45
SAME_ABOVE = 0.60
SAME_ABOVE_ONE_MASKED = 0.35

DETECTORS = {
    v: CenterFace(load_network(PACK.path("detector", v)))
    for v in ("centerface-fp16", "centerface-int8")
}
EMBEDDERS = {
    v: Embedder(load_network(PACK.path("embedder", v)), PACK.adaptation(), mirror=True)
    for v in ("float", "int8", "int8-full", "onnx")
}
MASKS = build_masks(PACK, VisionSettings())
NAMES = tuple(p.name for p in PHOTOS)


@lru_cache(maxsize=1)
def photo_files() -> dict[str, Path]:
    try:
        return fetch_photos(PHOTO_FOLDER)
    except PhotoUnavailable as error:
        pytest.skip(f"photographs cannot be fetched here: {error}")


def facts(name: str) -> Photo:
    return next(p for p in PHOTOS if p.name == name)


@lru_cache(maxsize=64)
def picture(name: str, masked: bool, face_px: int) -> U8:
    """The photograph with its face at this width, after a mask was drawn at full size."""
    photo = facts(name)
    read = np.asarray(cv2.imread(str(photo_files()[name])), np.uint8)
    image = np.asarray(cv2.cvtColor(read, cv2.COLOR_BGR2RGB), np.uint8)
    if masked:
        image = _draw_mask(image, photo)
    scale = face_px / (photo.face_xyxy[2] - photo.face_xyxy[0])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


@lru_cache(maxsize=128)
def face_of(name: str, masked: bool, face_px: int, detector: str = "centerface-fp16") -> Detection:
    found = DETECTORS[detector].detect(picture(name, masked, face_px), threshold=DETECT_AT)
    assert len(found) == 1, f"{name}: {len(found)} faces"
    return found[0]


@lru_cache(maxsize=128)
def embedding(name: str, masked: bool, face_px: int, variant: str = "float") -> F32:
    embedder = EMBEDDERS[variant]
    face = face_of(name, masked, face_px)
    raw = embedder.embed(picture(name, masked, face_px), face.landmarks_xy)
    return embedder.adapt(raw, "masked" if masked else "unmasked")


def similarities(
    left_masked: bool, right_masked: bool, face_px: int, variant: str
) -> tuple[list[float], list[float]]:
    """Cosines of the same person and of strangers, over all pairs of photographs."""
    same: list[float] = []
    strangers: list[float] = []
    for a in NAMES:
        for b in NAMES:
            if a == b or (a > b and left_masked == right_masked):
                continue
            left = embedding(a, left_masked, face_px, variant)
            right = embedding(b, right_masked, face_px, variant)
            target = same if facts(a).person == facts(b).person else strangers
            target.append(float(left @ right))
    return same, strangers


@pytest.mark.parametrize("face_px", FACE_WIDTHS_PX)
@pytest.mark.parametrize("masked", [False, True], ids=["bare", "masked"])
@pytest.mark.parametrize("name", NAMES)
def test_the_mask_classifier_is_right_with_a_margin(name: str, masked: bool, face_px: int) -> None:
    face = face_of(name, masked, face_px)
    probability = MASKS.probability(picture(name, masked, face_px), face.landmarks_xy)
    assert probability > 0.9 if masked else probability < 0.2


@pytest.mark.parametrize("masked", [False, True], ids=["bare", "masked"])
@pytest.mark.parametrize("name", NAMES)
def test_the_int8_detector_finds_the_same_box_as_the_float_one(name: str, masked: bool) -> None:
    boxes = [face_of(name, masked, 60, v).bbox_xyxy.astype(float) for v in DETECTORS]
    low, high = np.maximum(*boxes)[:2], np.minimum(*boxes)[2:]
    shared = float(np.prod(np.maximum(high - low, 0)))
    areas = sum(float(np.prod(b[2:] - b[:2])) for b in boxes)
    assert shared / (areas - shared) > 0.5


@pytest.mark.parametrize("name", NAMES)
def test_landmarks_lie_where_they_were_marked_by_hand(name: str) -> None:
    photo = facts(name)
    scale = 60 / (photo.face_xyxy[2] - photo.face_xyxy[0])
    marked = np.array(photo.landmarks_xy) * scale
    eye_distance = float(np.linalg.norm(marked[1] - marked[0]))
    error = np.linalg.norm(face_of(name, False, 60).landmarks_xy - marked, axis=1)
    assert error.max() / eye_distance < 0.25


@pytest.mark.parametrize("variant", ["float", "int8"])
@pytest.mark.parametrize("face_px", FACE_WIDTHS_PX)
def test_one_person_is_closer_than_any_stranger(face_px: int, variant: str) -> None:
    same, strangers = similarities(False, False, face_px, variant)
    assert min(same) > SAME_ABOVE
    assert max(strangers) < STRANGERS_BELOW


@pytest.mark.parametrize("variant", ["float", "int8"])
@pytest.mark.parametrize("face_px", FACE_WIDTHS_PX)
def test_a_mask_on_one_side_still_leaves_a_gap(face_px: int, variant: str) -> None:
    same, strangers = similarities(False, True, face_px, variant)
    assert min(same) > SAME_ABOVE_ONE_MASKED
    assert min(same) > max(strangers) + 0.1


@pytest.mark.parametrize("name", NAMES)
def test_one_face_embeds_alike_in_int8(name: str) -> None:
    left, right = (embedding(name, False, 60, v) for v in ("float", "int8"))
    np.testing.assert_allclose(np.linalg.norm([left, right], axis=1), 1.0, atol=1e-5)
    assert float(left @ right) > 0.9
