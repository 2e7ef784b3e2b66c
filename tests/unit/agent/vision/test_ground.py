"""The head plane, its covariance, the usable range, and the calibration file."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.vision.ground import (
    HEAD_HEIGHT_M,
    HEAD_HEIGHT_SD_M,
    PIXEL_SD,
    USABLE_SD_M,
    CalibrationInvalid,
    CameraCalibration,
    parse_calibration,
)
from agent.vision.lens import distort, undistort
from tests.unit.agent.vision.cameras import pole_camera

BENT = (-0.28, 0.09, 0.001, -0.0005, -0.01)


@given(st.floats(-0.9, 0.9), st.floats(-0.6, 0.6), st.floats(-0.3, 0.1), st.floats(0.0, 0.1))
def test_a_bent_point_is_straightened(x: float, y: float, k1: float, k2: float) -> None:
    coefficients = np.array([k1, k2, 0.001, -0.001, 0.0])
    point = np.array([[x, y]])
    back = undistort(distort(point, coefficients), coefficients)
    np.testing.assert_allclose(back, point, atol=1e-4)


def test_a_pixel_beyond_the_lens_model_is_nowhere() -> None:
    assert np.isnan(undistort(np.array([[3.0, 0.0]]), np.array([-0.3, 0, 0, 0, 0.0]))).all()
    camera = pole_camera(focal_px=400, bend=(-0.3, 0, 0, 0, 0))
    assert camera.on_head_plane(np.array([1279.0, 719.0])) is None


@given(x=st.floats(-2, 2), y=st.floats(3, 12))
@settings(max_examples=40)
def test_a_bent_lens_and_a_camera_beside_the_foot_place_heads_right(x: float, y: float) -> None:
    camera = pole_camera(bend=BENT)
    pixel = camera.project(np.array([[x, y, HEAD_HEIGHT_M]]))[0]
    placed = camera.on_head_plane(pixel)
    assert placed is not None
    np.testing.assert_allclose(placed[0], [x, y], atol=1e-3)


def test_the_covariance_is_what_many_heads_show() -> None:
    camera, random = pole_camera(bend=BENT), np.random.default_rng(1)
    spot = np.array([1.5, 9.0])
    heads = HEAD_HEIGHT_M + HEAD_HEIGHT_SD_M * random.standard_normal(4000)
    pixels = camera.project(np.column_stack([np.tile(spot, (4000, 1)), heads]))
    pixels += PIXEL_SD * random.standard_normal((4000, 2))
    places = np.array([p[0] for q in pixels if (p := camera.on_head_plane(q)) is not None])
    at = camera.project(np.array([[*spot, HEAD_HEIGHT_M]]))[0]
    found, plain = camera.head_place(at), camera.on_head_plane(at)
    assert found is not None
    assert plain is not None
    np.testing.assert_allclose(found[1], np.cov(places.T), rtol=0.1, atol=0.01)
    # The plain figure stays what the controller expects: pixel noise alone.
    assert plain[1] < 0.5 * np.sqrt(np.linalg.eigvalsh(found[1])[-1])


def test_the_usable_range_ends_where_the_spread_is_too_large() -> None:
    camera = pole_camera(tilt_rad=0.3)
    near, far = camera.usable_range_m() or (0.0, 0.0)
    spread = []
    for distance in (far, far + 0.5):
        spot = np.array([[0.2, -0.1 + distance, HEAD_HEIGHT_M]])
        placed = camera.head_place(camera.project(spot)[0])
        assert placed is not None
        spread.append(np.sqrt(np.linalg.eigvalsh(placed[1])[-1]))
    assert near < 5 < far
    assert spread[0] <= USABLE_SD_M < spread[1]


def test_the_usable_range_stays_inside_the_picture() -> None:
    near, far = pole_camera(tilt_rad=0.9).usable_range_m() or (0.0, 0.0)
    assert 0 < near < far < 4
    down = pole_camera(height_m=6.0, tilt_rad=np.pi / 2).usable_range_m()
    assert down is not None
    assert pole_camera(tilt_rad=-0.6).usable_range_m() is None


def as_json(camera: CameraCalibration) -> dict[str, object]:
    return {
        "image_size_wh": list(camera.image_size_wh),
        "camera_matrix": camera.camera_matrix.tolist(),
        "rotation": camera.rotation.tolist(),
        "translation": camera.translation.tolist(),
        "distortion": camera.distortion.tolist(),
    }


def test_a_file_with_and_without_distortion_is_read() -> None:
    raw = as_json(pole_camera(bend=BENT))
    np.testing.assert_allclose(parse_calibration(raw, default_id="c").distortion, BENT)
    del raw["distortion"]
    assert not parse_calibration(raw, default_id="c").distortion.any()


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("translation", [0, 0, float("nan")], "calibration.translation"),
        ("distortion", [1, 2], "calibrat"),
        ("distortion", [float("inf")] * 5, "calibration.distortion"),
        ("rotation", np.diag([1.0, 1.0, -1.0]).tolist(), "calibration.rotation"),
        ("camera_matrix", np.diag([-1.0, 1.0, 1.0]).tolist(), "calibration.camera_matrix"),
        ("image_size_wh", [0, 720], "calibration.image_size_wh"),
        ("image_size_wh", None, "calibrate the camera again"),
    ],
)
def test_a_damaged_file_is_refused(field: str, value: object, named: str) -> None:
    with pytest.raises(CalibrationInvalid, match=named):
        parse_calibration(as_json(pole_camera()) | {field: value}, default_id="c")


def test_a_camera_on_a_tower_and_a_list_for_a_file_are_refused() -> None:
    camera = pole_camera(height_m=40.0)
    with pytest.raises(CalibrationInvalid, match="40 m high"):
        parse_calibration(as_json(camera), default_id="c")
    with pytest.raises(CalibrationInvalid, match="calibrate the camera again"):
        parse_calibration([], default_id="c")  # type: ignore[arg-type]
    assert replace(camera, id="x").id == "x"
