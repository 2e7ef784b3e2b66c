"""A lens and a camera recovered from rendered pictures of a ChArUco board; the commands."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from agent.cli import app
from agent.vision.chain import decode_picture, encode_jpeg
from agent.vision.charuco import (
    BoardInvalid,
    BoardSpec,
    View,
    calibrate_lens,
    calibrate_on_board,
    find_board,
    ground_pairs,
)
from agent.vision.ground import CalibrationInvalid, CameraCalibration, load_calibration
from agent.vision.pairs import PointPair
from agent.vision.types import U8
from tests.unit.agent.vision.cameras import (
    clicked_pairs,
    held_poses,
    pixel_grid,
    pole_camera,
    render_board,
)

SIZE = (960, 720)
MATRIX = np.array([[800, 0, 490], [0, 800, 350], [0, 0, 1.0]])
BEND = np.array([-0.25, 0.08, 0, 0, 0])
HELD = BoardSpec(7, 5, 0.1, 0.075, "DICT_5X5_100")
LYING = BoardSpec(7, 5, 0.2, 0.15, "DICT_5X5_100")
AT_M, TURN_DEG = (-0.6, 2.5), 10.0


@dataclass(frozen=True)
class Seen:
    """What one camera saw: the held board, and the board on the ground before its pole."""

    camera: CameraCalibration
    held: list[U8]
    ground: U8

    def views(self) -> list[View]:
        return [find_board(HELD, image, f"{i}.png") for i, image in enumerate(self.held)]


@pytest.fixture(scope="module")
def seen() -> Seen:
    hand = CameraCalibration("hand", SIZE, MATRIX, np.eye(3), np.zeros(3), BEND)
    rays = hand.rays(pixel_grid(SIZE))
    held = [render_board(HELD, hand, rays, turn, at) for turn, at in held_poses(HELD, 8)]
    pole = replace(pole_camera(3.2, 0.6, size=SIZE), camera_matrix=MATRIX, distortion=BEND)
    sin, cos = np.sin(np.radians(TURN_DEG)), np.cos(np.radians(TURN_DEG))
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]])
    ground = render_board(LYING, pole, rays @ pole.rotation, turn, np.array([*AT_M, 0.0]))
    return Seen(pole, held, ground)


def test_lens_and_place_are_recovered_from_pictures(seen: Seen) -> None:
    found = calibrate_lens(seen.views())
    assert found.rms_px < 0.4
    np.testing.assert_allclose(found.lens.camera_matrix, MATRIX, rtol=0.005, atol=4)
    np.testing.assert_allclose(found.lens.distortion, BEND, atol=0.02)
    pairs = ground_pairs(find_board(LYING, seen.ground, "ground"), AT_M, TURN_DEG)
    fit = calibrate_on_board(pairs, found.lens)
    np.testing.assert_allclose(fit.camera.centre_m, seen.camera.centre_m, atol=0.03)
    head = np.array([[1.0, 6.0, 1.55]])
    placed = fit.camera.on_head_plane(seen.camera.project(head)[0])
    assert placed is not None
    np.testing.assert_allclose(placed[0], [1.0, 6.0], atol=0.1)


def test_a_measured_height_that_the_board_contradicts_is_refused(seen: Seen) -> None:
    lens = calibrate_lens(seen.views()).lens
    small = replace(LYING, square_m=0.17, marker_m=0.1275)
    pairs = ground_pairs(find_board(small, seen.ground, "ground"), AT_M, TURN_DEG)
    with pytest.raises(CalibrationInvalid, match=r"3\.2 m, but the board's sizes say 2\.7"):
        calibrate_on_board(pairs, lens, height_m=3.2)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda v: v[:3], "seen in 3; give 4"),
        (lambda v: [*v[:4], replace(v[4], size_wh=(1, 1))], "picture 4.png: is 1 x 1"),
        (lambda v: [replace(x, pixels=400 + x.pixels / 9) for x in v], "covers only"),
        (lambda v: [*v[:7], replace(v[7], pixels=v[7].pixels[::-1] * [1, 0.5])], "fits worst"),
    ],
)
def test_views_that_fix_no_lens_are_refused(
    seen: Seen, spoil: Callable[[list[View]], list[View]], said: str
) -> None:
    with pytest.raises(BoardInvalid, match=said):
        calibrate_lens(spoil(seen.views()))


def test_a_picture_without_the_board_and_an_unreal_board_are_refused(seen: Seen) -> None:
    with pytest.raises(BoardInvalid, match=r"picture x\.png: shows 0 corners"):
        find_board(HELD, np.full_like(seen.ground, 128), "x.png")
    for change, said in (
        ({"dictionary": "DICT_X"}, "dictionary DICT_X: is unknown"),
        ({"dictionary": "DICT_4X4_50", "columns": 30}, "too small for this board"),
        ({"marker_m": 0.2}, "marker-mm"),
        ({"rows": 1}, "at least 3 squares"),
    ):
        with pytest.raises(BoardInvalid, match=said):
            replace(HELD, **change).board()


@pytest.mark.parametrize("at_m", [(1.0, float("nan")), (float("inf"), 1.0), (400.0, 1.0)])
def test_a_board_that_lies_nowhere_is_refused(seen: Seen, at_m: tuple[float, float]) -> None:
    view = find_board(LYING, seen.ground, "ground")
    with pytest.raises(BoardInvalid, match=r"at: .* is no place"):
        ground_pairs(view, at_m, 0.0)


def write_pairs(path: Path, pairs: list[PointPair]) -> Path:
    rows = [f"{p.pixel_xy[0]},{p.pixel_xy[1]},{p.ground_m[0]},{p.ground_m[1]}" for p in pairs]
    path.write_text("\n".join(["px,py,x_m,y_m", *rows]))
    return path


def board_arguments(seen: Seen, folder: Path, spec: BoardSpec) -> list[str]:
    names = []
    for i, image in enumerate([*seen.held, seen.ground]):
        (folder / f"{i}.jpg").write_bytes(encode_jpeg(image))
        names.append(str(folder / f"{i}.jpg"))
    sizes = ["--square-mm", str(spec.square_m * 1000), "--marker-mm", str(spec.marker_m * 1000)]
    return [
        "calibrate", "board", *names[:-1], "--ground", names[-1], *sizes, "--columns", "7",
        "--rows", "5", "--out", str(folder / "cal.json"),
    ]  # fmt: skip


def test_points_writes_a_file_that_the_box_reads_and_a_preview(tmp_path: Path) -> None:
    known = pole_camera()
    picture, out = tmp_path / "cal.jpg", tmp_path / "cal.json"
    picture.write_bytes(encode_jpeg(np.full((720, 1280, 3), 90, np.uint8)))
    pairs = write_pairs(tmp_path / "pairs.csv", clicked_pairs(known, 6, click_px=0.5))
    command = ["calibrate", "points", str(picture), str(pairs), "--out", str(out), "--id", "cam-7"]
    result = CliRunner().invoke(app, [*command, "--height", "3.5"])
    assert result.exit_code == 0, result.output
    assert "height   3.5" in result.output
    read = load_calibration(out)
    assert read.id.startswith("cam-7-")
    np.testing.assert_allclose(read.centre_m, known.centre_m, atol=0.1)
    drawn = decode_picture((tmp_path / "cal.preview.jpg").read_bytes())
    assert drawn is not None
    assert drawn.shape == (720, 1280, 3)
    assert (drawn > 200).any(axis=2).mean() > 0.02
    as_json = json.loads(CliRunner().invoke(app, [*command, "--json"]).output)
    assert len(as_json["quality"]["pairs"]) == 6
    assert as_json["quality"]["usable_range_m"][1] > 8


def test_the_report_fits_eighty_columns_and_warns(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode_jpeg(np.zeros((720, 1280, 3), np.uint8)))
    pairs = write_pairs(tmp_path / "p.csv", clicked_pairs(pole_camera(), 4))
    arguments = ["calibrate", "points", str(tmp_path / "a.png"), str(pairs), "--out"]
    result = CliRunner().invoke(app, [*arguments, str(tmp_path / "c.json")])
    assert "WARN     4 pairs hardly show a wrong one; give 6" in result.output
    told = [line for line in result.output.splitlines() if str(tmp_path) not in line]
    assert max(map(len, told)) <= 80


def test_bad_input_exits_with_2_and_names_the_field(tmp_path: Path) -> None:
    picture = tmp_path / "a.jpg"
    picture.write_bytes(encode_jpeg(np.zeros((720, 1280, 3), np.uint8)))
    pairs = write_pairs(tmp_path / "p.csv", clicked_pairs(pole_camera(), 3))
    out = ["--out", str(tmp_path / "c.json")]
    command = ["calibrate", "points", str(picture), str(pairs), *out]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    assert "pairs: only 3 given" in result.output
    result = CliRunner().invoke(app, [*command, "--json"])
    assert json.loads(result.output)["error"]["field"] == "pairs"
    result = CliRunner().invoke(app, ["calibrate", "points", str(pairs), str(pairs), *out])
    assert result.exit_code == 2
    assert "is no picture" in " ".join(result.output.split())
    assert not (tmp_path / "c.json").exists()


def test_board_finds_the_camera_by_the_lying_board_or_by_pairs(seen: Seen, tmp_path: Path) -> None:
    # A lens has no scale: the lying board's sizes serve for the pictures of the held one too.
    arguments = board_arguments(seen, tmp_path, LYING)
    lying = ["--at", *map(str, AT_M), "--turn", str(TURN_DEG), "--id", "cam-9"]
    result = CliRunner().invoke(app, [*arguments, *lying])
    assert result.exit_code == 0, result.output
    read = load_calibration(tmp_path / "cal.json")
    np.testing.assert_allclose(read.centre_m, seen.camera.centre_m, atol=0.05)
    assert read.distortion[0] == pytest.approx(BEND[0], abs=0.03)
    pairs = write_pairs(tmp_path / "p.csv", clicked_pairs(seen.camera, 6, click_px=0.5))
    result = CliRunner().invoke(app, [*arguments, "--pairs", str(pairs)])
    assert result.exit_code == 0, result.output
    read = load_calibration(tmp_path / "cal.json")
    np.testing.assert_allclose(read.centre_m, seen.camera.centre_m, atol=0.05)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "at: is missing" in result.output
