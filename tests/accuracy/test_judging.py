"""The commands by which others judge the networks, on the public-domain photographs."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from agent.cli import app
from sim.photos import PHOTOS, PhotoUnavailable, fetch_photos

CACHE = Path(__file__).parents[2] / "build" / "photos"
GENUINE_FLOOR = 0.80


@pytest.fixture(scope="module")
def photos() -> Path:
    try:
        fetch_photos(CACHE)
    except PhotoUnavailable as error:
        pytest.skip(f"photographs cannot be fetched here: {error}")
    return CACHE


def vision(*words: str | Path) -> tuple[int, list[dict[str, Any]]]:
    done = CliRunner().invoke(app, ["vision", *(str(w) for w in words)])
    return done.exit_code, [json.loads(line) for line in done.stdout.splitlines()]


def pairs_file(target: Path, rows: Sequence[tuple[str, str, str]]) -> Path:
    with target.open("w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerows([("file_x", "file_y", "Decision"), *rows])
    return target


def all_pairs() -> list[tuple[str, str, str]]:
    return [
        (a.name, b.name, "Yes" if a.person == b.person else "No")
        for i, a in enumerate(PHOTOS)
        for b in PHOTOS[i + 1 :]
    ]


@pytest.mark.parametrize("embedder", ["float", "int8"])
def test_no_pair_is_wrong_at_the_best_threshold(
    photos: Path, tmp_path: Path, embedder: str
) -> None:
    file = pairs_file(tmp_path / "pairs.csv", all_pairs())
    code, lines = vision("verify", "--pairs", file, "--images", photos, "--embedder", embedder)
    summary = lines[-1]["summary"]
    assert code == 0
    assert len(lines) == len(all_pairs()) + 1
    assert summary["wrong"] == 0
    assert summary["genuine_mean"] >= GENUINE_FLOOR
    assert summary["impostor_max"] < summary["best_threshold"] < summary["genuine_min"]


def test_int8_loses_next_to_nothing(photos: Path, tmp_path: Path) -> None:
    file = pairs_file(tmp_path / "pairs.csv", all_pairs())
    means = [
        vision("verify", "--pairs", file, "--images", photos, "--embedder", e)[1][-1]["summary"]
        for e in ("float", "int8")
    ]
    assert means[0]["genuine_mean"] - means[1]["genuine_mean"] <= 0.02
    assert means[0]["accuracy"] - means[1]["accuracy"] <= 0.005


def test_a_picture_without_a_face_is_a_wrong_pair_and_is_named(
    photos: Path, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    cv2.imwrite(str(images / "wall.png"), np.full((200, 200, 3), 90, np.uint8))
    (images / "obama.jpg").write_bytes((photos / "obama.jpg").read_bytes())
    file = pairs_file(tmp_path / "pairs.csv", [("obama.jpg", "wall.png", "No")])
    _, lines = vision("verify", "--pairs", file, "--images", images)
    assert lines[0]["similarity"] is None
    assert (lines[1]["summary"]["wrong"], lines[1]["summary"]["no_face"]) == (1, ["wall.png"])


@pytest.mark.parametrize(
    ("rows", "names"),
    [
        ([("obama.jpg", "", "Yes")], "line 2"),
        ([("a.jpg", "b.jpg", "maybe")], "maybe"),
        ([], "pair"),
    ],
)
def test_bad_pairs_are_named_by_line(
    photos: Path, tmp_path: Path, rows: list[tuple[str, str, str]], names: str
) -> None:
    file = pairs_file(tmp_path / "pairs.csv", rows)
    code, lines = vision("verify", "--pairs", file, "--images", photos)
    assert code == 2
    assert names in json.dumps(lines[0]["error"])


def test_masks_of_a_folder_are_counted_against_its_names(photos: Path, tmp_path: Path) -> None:
    target = tmp_path / "unmasked"
    target.mkdir()
    for photo in PHOTOS:
        (target / photo.name).write_bytes((photos / photo.name).read_bytes())
    _, lines = vision("masks", tmp_path)
    assert [line["state"] for line in lines[:-1]] == ["unmasked"] * len(PHOTOS)
    assert lines[-1]["summary"]["balanced_accuracy"] == 1.0


def test_strangers_are_described_before_and_after_adaptation(photos: Path, tmp_path: Path) -> None:
    for name in ("obama.jpg", "biden.jpg", "astronaut.png"):
        (tmp_path / name).write_bytes((photos / name).read_bytes())
    _, lines = vision("strangers", tmp_path)
    described = lines[-1]["summary"]["unmasked-unmasked"]
    assert described["adapted"]["pairs"] == 3
    assert set(described["raw"]) == {"pairs", "mean", "sd", "q50", "q90", "q99", "q99.9"}


def test_a_close_up_is_found_with_room_around_it(photos: Path, tmp_path: Path) -> None:
    photo = next(p for p in PHOTOS if p.name == "biden.jpg")
    image = cv2.imread(str(photos / photo.name))
    x1, y1, x2, y2 = (round(v) for v in photo.face_xyxy)
    cv2.imwrite(str(tmp_path / "close.png"), image[y1:y2, x1:x2])
    _, lines = vision("masks", tmp_path)
    assert lines[0]["state"] == "unmasked"
