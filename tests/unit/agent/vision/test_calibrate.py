"""A camera recovered from point pairs, and every refusal."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.vision.calibrate import fit_camera, unknown_lens
from agent.vision.fit_checks import calibrate_from_points, check_camera
from agent.vision.ground import CalibrationInvalid
from agent.vision.pairs import PairsInvalid, PointPair, read_pairs
from tests.unit.agent.vision.cameras import SIZE, clicked_pairs, pole_camera

Ground = tuple[float, float, float]
Pixel = tuple[float, float]


def changed(
    pairs: list[PointPair],
    ground: Callable[[Ground], Ground] = lambda g: g,
    pixel: Callable[[Pixel], Pixel] = lambda p: p,
) -> list[PointPair]:
    return [
        PointPair(p.name, pixel(p.pixel_xy), ground(p.ground_m)) for p in pairs
    ]  # fmt: skip


@given(
    height=st.floats(2.5, 8.0), focal=st.floats(650, 1800), tilt=st.floats(0.3, 0.75),
    roll=st.floats(-0.1, 0.1), count=st.integers(6, 10), seed=st.integers(0, 1000),
)  # fmt: skip
@settings(max_examples=30, deadline=None)
def test_a_camera_is_recovered_from_clicks_a_pixel_off(
    height: float, focal: float, tilt: float, roll: float, count: int, seed: int
) -> None:
    known = pole_camera(height, tilt, focal, roll_rad=roll)
    pairs = clicked_pairs(known, count, seed=seed, click_px=1.0)
    fit = calibrate_from_points(pairs, size_wh=SIZE)
    assert fit.camera.height_m == pytest.approx(height, rel=0.06)
    assert fit.camera.camera_matrix[0, 0] == pytest.approx(focal, rel=0.06)
    assert abs(fit.camera.height_m - height) < 4 * fit.height_sd_m
    near, far = fit.usable_range_m() or (0.0, 0.0)
    # Inside the range that it promises, a head is found where it stands.
    for distance in (near, (near + far) / 2, far):
        spot = np.array([[0.2, distance - 0.1, 1.55]])
        placed = fit.camera.on_head_plane(known.project(spot)[0])
        assert placed is not None
        assert np.hypot(*(placed[0] - spot[0, :2])) < 1.5


@given(height=st.floats(2.5, 8.0), focal=st.floats(650, 1800), seed=st.integers(0, 1000))
@settings(max_examples=12, deadline=None)
def test_four_pairs_and_a_measured_height_are_enough(
    height: float, focal: float, seed: int
) -> None:
    pairs = clicked_pairs(pole_camera(height, 0.5, focal), 4, seed=seed, click_px=1.0, tape_m=0.02)
    fit = calibrate_from_points(pairs, size_wh=SIZE, height_m=height)
    assert fit.camera.height_m == pytest.approx(height, abs=0.15)
    assert fit.camera.camera_matrix[0, 0] == pytest.approx(focal, rel=0.12)


def test_points_above_the_ground_count_with_their_height() -> None:
    known, random = pole_camera(), np.random.default_rng(2)
    pairs = clicked_pairs(known, 6)
    for i in (1, 3, 4):
        x, y, _ = pairs[i].ground_m
        spot = (x * 0.8, y * 0.8, float(random.uniform(0.5, 1.5)))
        u, v = known.project(np.array([spot]))[0]
        pairs[i] = PointPair(f"post {i}", (u, v), spot)
    fit = calibrate_from_points(pairs, size_wh=SIZE)
    np.testing.assert_allclose(fit.camera.centre_m, known.centre_m, atol=0.01)


def test_the_promised_spread_is_the_one_that_many_calibrations_show() -> None:
    known = pole_camera()
    fits = [
        fit_camera(clicked_pairs(known, 8, seed=s, click_px=1.5, tape_m=0.03), unknown_lens(SIZE))
        for s in range(60)
    ]
    off = [(f.camera.height_m - known.height_m) / f.height_sd_m for f in fits]
    assert 0.6 < np.std(off) < 1.4


def test_a_bad_pair_is_named() -> None:
    pairs = clicked_pairs(pole_camera(), 7, click_px=1.0, tape_m=0.02)
    x, y, z = pairs[4].ground_m
    pairs[4] = replace(pairs[4], ground_m=(x + 1.0, y, z))
    with pytest.raises(PairsInvalid, match=r"pairs p5: is the suspect.* px and \d+ cm on the gr"):
        calibrate_from_points(pairs, size_wh=SIZE)


def test_a_click_above_the_horizon_and_a_point_behind_are_named() -> None:
    known = pole_camera(tilt_rad=0.3)
    pairs = clicked_pairs(known, 7)
    above = [*pairs[:6], replace(pairs[6], pixel_xy=(900.0, 3.0))]
    with pytest.raises(PairsInvalid, match=r"pairs p7: .*above the horizon"):
        calibrate_from_points(above, size_wh=SIZE)
    x, y, z = pairs[0].ground_m
    behind = [replace(pairs[0], ground_m=(x, -y, z)), *pairs[1:]]
    with pytest.raises(PairsInvalid, match=r"pairs p1: .*out of the camera's sight"):
        calibrate_from_points(behind, size_wh=SIZE)


def test_four_pairs_that_disagree_name_the_worst_and_say_that_it_may_be_another() -> None:
    pairs = clicked_pairs(pole_camera(), 4)
    pairs[2] = replace(pairs[2], pixel_xy=(pairs[2].pixel_xy[0] + 200, pairs[2].pixel_xy[1]))
    with pytest.raises(PairsInvalid, match=r"is the suspect: .*may be another"):
        calibrate_from_points(pairs, size_wh=SIZE)


def test_a_lens_that_bends_is_noticed() -> None:
    pairs = clicked_pairs(pole_camera(focal_px=700, bend=(-0.3, 0.1, 0, 0, 0)), 10)
    with pytest.raises(PairsInvalid, match="the lens bends: use a board"):
        calibrate_from_points(pairs, size_wh=SIZE)


def six() -> list[PointPair]:
    return clicked_pairs(pole_camera(), 6)


def on_line(pairs: list[PointPair]) -> list[PointPair]:
    return [replace(p, ground_m=(0.5 * i, 3.0 + i, 0.0)) for i, p in enumerate(pairs)]


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        (six()[:3], "only 3 given; at least 4"),
        (changed(six(), pixel=lambda p: (300 + p[0] / 10, 300 + p[1] / 10)), "one small part"),
        (changed(six(), pixel=lambda p: (p[0], 100 + p[0] / 2)), "all lie on one line"),
        (on_line(six()), "all lie on one line"),
        (on_line(six()[:5]) + six()[5:], "all but p6 lie on one line"),
        ([*six(), replace(six()[1], name="x", pixel_xy=(5, 5))], "p2 and x: are the same ground"),
        ([*six(), replace(six()[1], ground_m=(0, 1, 0))], "same pixel"),
        ([replace(six()[0], pixel_xy=(float("nan"), 1)), *six()[1:]], "p1: not a finite number"),
        ([replace(six()[0], ground_m=(1, float("inf"), 0)), *six()[1:]], "p1: not a finite"),
        ([replace(six()[0], pixel_xy=(100, 900)), *six()[1:]], "p1: .* outside the picture"),
        (changed(six(), lambda g: (g[0] * 100, g[1] * 100, 0)), "metres, not centimetres"),
        (changed(six(), lambda g: (g[0] * 9, g[1] * 9, 0)), "32 m high, more than 30"),
        (changed(six(), lambda g: (g[0] * 0.3, g[1] * 0.3, 0)), "not above heads"),
        (changed(six(), lambda g: (-g[0], g[1], 0)), "mirrored"),
        (changed(six(), lambda g: (g[1], g[0], 0)), "mirrored"),
        (changed(six(), pixel=lambda p: (1280 - p[0], 720 - p[1])), "upside down"),
    ],
)  # fmt: skip
def test_pairs_that_fix_no_camera_are_refused(pairs: list[PointPair], said: str) -> None:
    with pytest.raises(PairsInvalid, match=said):
        calibrate_from_points(pairs, size_wh=SIZE)


@pytest.mark.parametrize(
    ("scale", "height_m", "said"),
    [
        (3.281, 3.5, "pairs: are in feet"),
        (0.8, 3.5, "height: measured as 3.5 m, but the pairs say 2.80 m"),
        (1.0, 4.6, "height: measured as 4.6 m, but the pairs say 3.50 m"),
        (1.0, 350.0, "height: 350 m is no height"),
        (1.0, float("nan"), "height: nan m is no height"),
    ],
)
def test_pairs_and_height_in_different_units_are_refused(
    scale: float, height_m: float, said: str
) -> None:
    pairs = changed(six(), lambda g: (g[0] * scale, g[1] * scale, 0.0))
    with pytest.raises(CalibrationInvalid, match=said):
        calibrate_from_points(pairs, size_wh=SIZE, height_m=height_m)


def test_a_camera_that_looks_up_or_through_no_real_lens_is_refused() -> None:
    with pytest.raises(PairsInvalid, match="horizon below the middle"):
        check_camera(pole_camera(tilt_rad=-0.2))
    with pytest.raises(PairsInvalid, match="on its side"):
        check_camera(pole_camera(roll_rad=1.5))
    with pytest.raises(PairsInvalid, match="degrees wide"):
        check_camera(pole_camera(focal_px=200))


def test_pairs_are_read_from_csv_and_json(tmp_path: Path) -> None:
    table, objects = tmp_path / "pairs.csv", tmp_path / "pairs.json"
    table.write_text("px; py ;x_m;y_m;z_m;name\n1;2;3.5;4;;kerb\n\n5;6;7;8;0.4;\n")
    objects.write_text('{"pairs": [{"px": 1, "py": 2, "x_m": 3.5, "y_m": 4, "name": "kerb"}]}')
    assert read_pairs(table) == [
        PointPair("kerb", (1, 2), (3.5, 4, 0)),
        PointPair("2", (5, 6), (7, 8, 0.4)),
    ]
    assert read_pairs(objects) == read_pairs(table)[:1]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "1,2,3,4\n", "the first line lacks px"),
        ("a.csv", "px,py,x_m,y_m\n1,2,three,4\n", "pairs 1: x_m is 'three'"),
        ("a.csv", "px;py;x_m;y_m\n1;2;3,5;4\n", "with a point"),
        ("a.csv", "px,py,x_m,y_m\n1,2,3\n", "pairs 1: y_m is nothing"),
        ("a.csv", "", "the first line lacks px"),
        ("a.json", "[1]", "give a list"),
        ("a.json", "{", "no JSON"),
        ("a.csv", "px,py,x_m,y_m\n" + "1,2,3,4\n" * 201, "200 are enough"),
    ],
)
def test_a_file_that_holds_no_pairs_is_refused(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(PairsInvalid, match=said):
        read_pairs(tmp_path / name)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PairsInvalid, match="give a readable file"):
        read_pairs(tmp_path / "none.csv")
