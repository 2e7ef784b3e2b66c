"""Pictures and lists of pairs from outside: read, checked, and the face they are of found."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from agent.errors import AgentError
from agent.vision.chain import decode_picture
from agent.vision.detector import Detector
from agent.vision.types import U8, Detection

THRESHOLDS: Final = (0.5, 0.3, 0.15)
PADDING: Final = 0.5
PICTURES: Final = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
MAX_PICTURES: Final = 20_000
YES: Final = frozenset({"yes", "true", "1", "same", "genuine"})
NO: Final = frozenset({"no", "false", "0", "different", "impostor"})


class EvaluationInvalid(AgentError):
    """The pairs or pictures to judge with cannot be used."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two files and whether they show the same person."""

    file_x: str
    file_y: str
    same: bool


def read_picture(path: Path) -> U8:
    """Read a picture as RGB; raises `EvaluationInvalid`."""
    try:
        image = decode_picture(path.read_bytes())
    except OSError as error:
        raise EvaluationInvalid(f"picture {path}: {error.strerror}; give a readable file") from None
    if image is None:
        raise EvaluationInvalid(f"picture {path}: is no picture; give JPEG or PNG files")
    return image


def pictures_in(folder: Path) -> list[Path]:
    """List a folder's pictures, subfolders included, in the order of their names."""
    if not folder.is_dir():
        raise EvaluationInvalid(f"folder {folder}: is no folder; give one that holds pictures")
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in PICTURES)
    if not found:
        raise EvaluationInvalid(f"folder {folder}: holds no picture; give one that does")
    if len(found) > MAX_PICTURES:
        raise EvaluationInvalid(f"folder {folder}: {len(found)} pictures; at most {MAX_PICTURES}")
    return found


def main_detection(detector: Detector, image_rgb: U8) -> Detection | None:
    """Find the face that a picture is of; a close-up is looked at again with room around it."""
    for threshold in THRESHOLDS:
        for padding in (0.0, PADDING):
            found = _detect_padded(detector, image_rgb, padding, threshold)
            if found:
                return max(found, key=lambda d: _prominence(d, image_rgb))
    return None


def _detect_padded(
    detector: Detector, image_rgb: U8, padding: float, threshold: float
) -> list[Detection]:
    if not padding:
        return detector.detect(image_rgb, threshold=threshold)
    edge = round(padding * max(image_rgb.shape[:2]))
    wide = cv2.copyMakeBorder(image_rgb, edge, edge, edge, edge, cv2.BORDER_CONSTANT)
    return [
        Detection(d.bbox_xyxy - edge, d.landmarks_xy - edge, d.score)
        for d in detector.detect(np.asarray(wide, np.uint8), threshold=threshold)
    ]


def _prominence(detection: Detection, image_rgb: U8) -> float:
    height, width = image_rgb.shape[:2]
    centre = (detection.bbox_xyxy[:2] + detection.bbox_xyxy[2:]) / 2
    away = np.abs(centre / [width, height] - 0.5).max() * 2
    return float(detection.height_px * (1.0 - 0.7 * min(float(away), 1.0)))


def read_pairs(path: Path) -> list[Pair]:
    """Read a CSV with the columns file_x, file_y, Decision; raises `EvaluationInvalid`."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as handle:
            rows = list(csv.DictReader(handle))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise EvaluationInvalid(f"pairs {path}: {error}; give a CSV file") from None
    if not rows:
        raise EvaluationInvalid(f"pairs {path}: holds no pair; write one a line")
    return [_pair(row, number) for number, row in enumerate(rows, start=2)]


def _pair(row: dict[str, Any], number: int) -> Pair:
    values = [row.get(name) for name in ("file_x", "file_y", "Decision")]
    if any(not value for value in values):
        raise EvaluationInvalid(
            f"pairs line {number}: needs file_x, file_y and Decision; mend that line"
        )
    left, right, decision = (str(v).strip() for v in values)
    if decision.lower() not in YES | NO:
        raise EvaluationInvalid(f"pairs line {number}: Decision {decision!r}; write Yes or No")
    return Pair(left, right, decision.lower() in YES)
