"""A redacted recording shows one person, or nothing at all."""

import json
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from agent.cli import app
from agent.models.pack import load_pack
from agent.vision.build import VisionSettings, build_detector
from agent.vision.redact import FILL_RGB
from agent.vision.types import U8
from sim.clips.encode import encode
from sim.photos import PhotoUnavailable, fetch_photos

pytestmark = pytest.mark.slow
CACHE = Path(__file__).parents[2] / "build" / "photos"
SIZE_WH = (640, 360)
SECONDS = 12
GONE = range(5, 8)


def street(photos: Path, second: int) -> U8:
    """Obama walks to the right, Biden to the left; Obama is away for some seconds."""
    scene = np.full((SIZE_WH[1], SIZE_WH[0], 3), (120, 130, 125), np.uint8)
    for name, x in (("biden.jpg", 420 - 12 * second), ("obama3.jpg", 60 + 10 * second)):
        if name == "obama3.jpg" and second in GONE:
            continue
        face = cv2.cvtColor(cv2.imread(str(photos / name)), cv2.COLOR_BGR2RGB)
        small = cv2.resize(face, (150, round(150 * face.shape[0] / face.shape[1])),
                           interpolation=cv2.INTER_AREA)  # fmt: skip
        part = small[: SIZE_WH[1] - 60]
        scene[60 : 60 + part.shape[0], x : x + part.shape[1]] = part
    return scene


@pytest.fixture(scope="module")
def redacted(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, object], list[U8]]:
    try:
        fetch_photos(CACHE)
    except PhotoUnavailable as error:
        pytest.skip(f"photographs cannot be fetched here: {error}")
    folder = tmp_path_factory.mktemp("video")
    encode(folder / "street.mp4", ((s, street(CACHE, s)) for s in range(SECONDS)), SIZE_WH)
    words = ["vision", "redact", str(folder / "street.mp4"), "--keep", str(CACHE / "obama.jpg")]
    done = CliRunner().invoke(app, [*words, "--out", str(folder / "out")])
    assert done.exit_code == 0, done.output
    line = json.loads(done.stdout)
    with av.open(line["out"]) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    return line, [np.asarray(f, np.uint8) for f in frames]


def is_filled(picture: U8) -> bool:
    return bool((np.abs(picture.astype(int) - FILL_RGB).max(axis=2) < 12).mean() > 0.999)


def test_every_frame_is_there_and_the_counts_are_told(
    redacted: tuple[dict[str, object], list[U8]],
) -> None:
    line, frames = redacted
    assert line["frames"] == len(frames) == SECONDS
    assert line["frames_shown"] == SECONDS - len(GONE)


def test_while_the_person_is_away_nothing_is_shown(
    redacted: tuple[dict[str, object], list[U8]],
) -> None:
    _, frames = redacted
    assert [is_filled(f) for f in frames] == [s in GONE for s in range(SECONDS)]


def test_nobody_else_can_be_detected_in_any_frame(
    redacted: tuple[dict[str, object], list[U8]],
) -> None:
    _, frames = redacted
    detector = build_detector(load_pack(), VisionSettings())
    for second, frame in enumerate(frames):
        found = detector.detect(frame, threshold=0.3)
        assert len(found) <= (second not in GONE)
        for face in found:
            centre_x = float(face.bbox_xyxy[[0, 2]].mean())
            assert abs(centre_x - (60 + 10 * second + 75)) < 40


def test_a_person_who_is_not_there_leaves_an_empty_recording(tmp_path: Path) -> None:
    try:
        fetch_photos(CACHE)
    except PhotoUnavailable as error:
        pytest.skip(f"photographs cannot be fetched here: {error}")
    encode(tmp_path / "street.mp4", ((s, street(CACHE, 6)) for s in range(2)), SIZE_WH)
    words = ["vision", "redact", str(tmp_path / "street.mp4"), "--keep", str(CACHE / "obama.jpg")]
    done = CliRunner().invoke(app, [*words, "--out", str(tmp_path)])
    assert json.loads(done.stdout)["frames_shown"] == 0
