"""Redaction on the demo's own clips: bystanders are filled even where the detector missed them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import av
import numpy as np
import pytest

from agent.models.pack import load_pack
from agent.vision.boxes import iou_matrix
from agent.vision.build import (
    VisionSettings,
    build_detector,
)
from agent.vision.chain import encode_jpeg
from agent.vision.detector import Detector
from agent.vision.redact import redact
from agent.vision.types import U8, Box, Detection
from sim.clips import make_clips
from sim.demo.checks import LEAST_SOLID, MOST_SOLID_SUBJECT
from sim.demo.pictures import read_redacted
from sim.demo.truth import Truth, TruthFace
from sim.photos import fetch_photos

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]
CACHE = Path(__file__).parents[2] / "build"
SEED = 7
EVERY = 60


@dataclass(frozen=True)
class Shot:
    """One frame with the subject and somebody else in it."""

    image_rgb: U8
    subject: TruthFace
    bystanders: tuple[TruthFace, ...]


@dataclass(frozen=True)
class Blinkered:
    """A detector that misses everybody but the one person who stands in a given box."""

    eyes: Detector
    only: Box

    def detect(self, image_rgb: U8, *, threshold: float) -> list[Detection]:
        found = self.eyes.detect(image_rgb, threshold=threshold)
        return [one for one in found if overlap(one.box, self.only) > 0.3]


def overlap(one: Box, other: Box) -> float:
    return float(iou_matrix(np.array([one]), np.array([other]))[0, 0])


@pytest.fixture(scope="module")
def shots() -> list[Shot]:
    day = (datetime.now(UTC) - timedelta(days=1)).date()
    photos, out = CACHE / "photos", CACHE / "clips" / f"{day}-{SEED}"
    fetch_photos(photos)
    make_clips(SEED, day, photos, out)
    truth = Truth.read(out)
    found = [shot for span in truth.subject_visits for shot in shots_of(truth, span.camera_id)]
    assert len(found) >= 15
    return found


def shots_of(truth: Truth, camera_id: str) -> Iterator[Shot]:
    camera = truth.camera(camera_id)
    with av.open(str(camera.clip)) as clip:
        pairs = zip(clip.decode(video=0), truth.frames(camera), strict=True)
        for number, (frame, (_, faces)) in enumerate(pairs):
            subject = [face for face in faces if face.person == truth.subject]
            others = tuple(face for face in faces if face.person != truth.subject)
            if number % EVERY == 0 and subject and others:
                yield Shot(frame.to_ndarray(format="rgb24"), subject[0], others)


@pytest.fixture(scope="module")
def eyes() -> Detector:
    return build_detector(load_pack(), VisionSettings())


@pytest.mark.parametrize("missed", [False, True], ids=["seen", "missed by the detector"])
def test_bystanders_are_filled_and_the_subject_is_not(
    shots: list[Shot], eyes: Detector, missed: bool
) -> None:
    for shot in shots:
        detector: Detector = Blinkered(eyes, shot.subject.bbox_xyxy) if missed else eyes
        shown = redact(
            shot.image_rgb,
            detector=detector,
            subject_bbox_xyxy=shot.subject.bbox_xyxy,
            other_bboxes_xyxy=(),
            similarity_of=lambda _image, _face: 1.0,
            min_similarity=0.5,
        )
        picture = read_redacted(encode_jpeg(shown.image_rgb))
        for face in shot.bystanders:
            assert picture.solid_share(face.bbox_xyxy) >= LEAST_SOLID
        assert picture.solid_share(shot.subject.bbox_xyxy) <= MOST_SOLID_SUBJECT
