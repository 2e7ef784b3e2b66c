"""Redaction: what is not the subject is filled, whatever the detector says."""

import numpy as np
import pytest

from agent.vision.redact import FILL_RGB, RedactionRefused, redact
from agent.vision.types import Detection

SUBJECT = (300.0, 200.0, 360.0, 280.0)
BYSTANDER = (420.0, 200.0, 480.0, 280.0)


class FixedDetector:
    """Finds exactly what it is told to find."""

    def __init__(self, *boxes: tuple[float, float, float, float]) -> None:
        self.found = [
            Detection(np.array(b, np.float32), np.zeros((5, 2), np.float32), 0.9) for b in boxes
        ]

    def detect(self, image_rgb: np.ndarray, *, threshold: float) -> list[Detection]:
        return self.found


def street() -> np.ndarray:
    return np.random.default_rng(0).integers(100, 255, (480, 640, 3)).astype(np.uint8)


def shown(detector: FixedDetector, others: tuple = (), similarity: float = 0.8) -> np.ndarray:
    return redact(
        street(),
        detector=detector,
        subject_bbox_xyxy=SUBJECT,
        other_bboxes_xyxy=others,
        similarity_of=lambda _image, _face: similarity,
        min_similarity=0.35,
    ).image_rgb


def filled_share(image: np.ndarray, box: tuple[float, float, float, float]) -> float:
    x1, y1, x2, y2 = (int(v) for v in box)
    return float((image[y1:y2, x1:x2] == FILL_RGB).all(axis=2).mean())


def test_a_bystander_whom_the_detector_missed_is_filled_all_the_same() -> None:
    image = shown(FixedDetector(SUBJECT))
    assert filled_share(image, BYSTANDER) == 1.0
    assert filled_share(image, SUBJECT) < 0.2


def test_a_neighbours_box_that_reaches_into_the_kept_region_is_filled_on_top() -> None:
    beside = (380.0, 200.0, 430.0, 280.0)
    image = shown(FixedDetector(SUBJECT, beside))
    assert filled_share(image, beside) == 1.0


@pytest.mark.parametrize(
    ("detector", "others", "similarity", "reason"),
    [
        (FixedDetector(), (), 0.8, "no face"),
        (FixedDetector(BYSTANDER), (), 0.8, "where it was tracked"),
        (FixedDetector(SUBJECT), (), 0.1, "does not match"),
        (FixedDetector(SUBJECT), (SUBJECT,), 0.8, "covers"),
    ],
)
def test_in_doubt_there_is_no_picture(
    detector: FixedDetector, others: tuple, similarity: float, reason: str
) -> None:
    with pytest.raises(RedactionRefused, match=reason):
        shown(detector, others, similarity)
