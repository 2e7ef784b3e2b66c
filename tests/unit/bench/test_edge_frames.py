"""The composed frames of the edge benchmark: the true boxes are on faces that can be found."""

from pathlib import Path

import numpy as np
import pytest

from agent.models.pack import load_pack
from agent.vision.build import (
    VisionSettings,
    build_detector,
)
from agent.vision.chain import START_THRESHOLD
from agent.vision.detector import Detector
from sim.photos import fetch_photos
from tests.bench.edge.frames import COUNTS, SIZES_WH, Scene, compose, scenes
from tests.bench.edge.report import iou, matches

SEED = 3


@pytest.fixture(scope="module")
def photos() -> Path:
    folder = Path("build/photos")
    fetch_photos(folder)
    return folder


@pytest.fixture(scope="module")
def detector() -> Detector:
    return build_detector(load_pack(), VisionSettings())


def test_our_detector_finds_every_face_where_the_truth_says(
    photos: Path, detector: Detector
) -> None:
    scene = Scene("test", (1280, 720), 5, 2, moving=False, masked=False)
    for image, faces in zip(*compose(scene, photos, SEED), strict=True):
        found = [d.box for d in detector.detect(image, threshold=START_THRESHOLD)]
        assert len(found) == len(faces) == scene.faces
        assert all(max(iou(face, box) for box in found) >= 0.5 for face in faces)


def test_what_is_found_among_masked_faces_is_a_face(photos: Path, detector: Detector) -> None:
    scene = Scene("test", (1280, 720), 5, 2, moving=False, masked=True)
    for image, faces in zip(*compose(scene, photos, SEED), strict=True):
        found = [d.box for d in detector.detect(image, threshold=START_THRESHOLD)]
        assert len(found) >= 3
        assert all(max(iou(face, box) for face in faces) >= 0.5 for box in found)


@pytest.mark.parametrize("size_wh", SIZES_WH)
def test_every_face_lies_in_the_frame_apart_from_the_others(
    photos: Path, size_wh: tuple[int, int]
) -> None:
    for scene in scenes(size_wh):
        frames, truth = compose(scene, photos, SEED)
        assert len(frames) == len(truth) == scene.frames
        assert frames[0].shape == (size_wh[1], size_wh[0], 3)
        for faces in truth:
            assert len(faces) == scene.faces
            boxes = np.array(faces).reshape(-1, 4)
            heights = boxes[:, 3] - boxes[:, 1]
            assert ((heights > 39.9) & (heights < 160.1)).all()
            assert (boxes >= 0).all()
            assert (boxes[:, 2:] <= size_wh).all()
            assert all(iou(a, b) == 0 for i, a in enumerate(faces) for b in faces[:i])


def test_a_seed_gives_the_same_pixels_and_a_walk_moves(photos: Path) -> None:
    walk = next(s for s in scenes(SIZES_WH[0]) if s.moving and s.faces == COUNTS[2])
    frames, truth = compose(walk, photos, SEED)
    again, _ = compose(walk, photos, SEED)
    assert all((a == b).all() for a, b in zip(frames, again, strict=True))
    steps = np.abs(np.diff(np.array(truth)[:, :, :2], axis=0)).max(axis=2)
    assert (steps > 0).all()
    assert steps.max() <= 8


def test_a_match_needs_overlap_and_takes_each_box_once() -> None:
    face = (0.0, 0.0, 10.0, 10.0)
    assert matches([[face, face]], [[face]]) == (1, 1)
    assert matches([[(8.0, 8.0, 18.0, 18.0)]], [[face]]) == (0, 1)
    assert matches([[]], [[face]]) == (0, 0)
