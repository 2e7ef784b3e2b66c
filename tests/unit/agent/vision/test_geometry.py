"""Boxes, alignment and the ground plane."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.vision.align import ARCFACE_112, similarity_transform
from agent.vision.boxes import iou_matrix, non_maximum_suppression
from agent.vision.ground import HEAD_HEIGHT_M, CalibrationInvalid, parse_calibration

finite = st.floats(-100, 100)


def pole_camera(height_m: float = 3.2, tilt_rad: float = 0.45) -> dict[str, object]:
    sin, cos = np.sin(tilt_rad), np.cos(tilt_rad)
    rotation = np.array([[1, 0, 0], [0, -sin, -cos], [0, cos, -sin]])
    return {
        "image_size_wh": [1280, 720],
        "camera_matrix": [[1100, 0, 640], [0, 1100, 360], [0, 0, 1]],
        "rotation": rotation.tolist(),
        "translation": (rotation @ np.array([0, 0, -height_m])).tolist(),
    }


@given(x=st.floats(-2, 2), y=st.floats(3, 7), height=st.floats(2.5, 4.5))
@settings(max_examples=60)
def test_a_projected_head_is_placed_where_it_stands(x: float, y: float, height: float) -> None:
    calibration = parse_calibration(pole_camera(height), default_id="c")
    camera = calibration.rotation @ np.array([x, y, HEAD_HEIGHT_M]) + calibration.translation
    pixel = calibration.camera_matrix @ (camera / camera[2])
    placed = calibration.on_head_plane(pixel[:2])
    assert placed is not None
    np.testing.assert_allclose(placed[0], [x, y], atol=1e-6)
    assert placed[1] > 0


def test_a_pixel_above_the_horizon_is_nowhere() -> None:
    calibration = parse_calibration(pole_camera(tilt_rad=0.0), default_id="c")
    assert calibration.on_head_plane(np.array([640.0, 100.0])) is None


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("rotation", [[2, 0, 0], [0, 1, 0], [0, 0, 1]], "rotation"),
        ("camera_matrix", [1, 2], "calibrat"),
        ("translation", [0, 0, 0], "above heads"),
    ],
)
def test_an_impossible_calibration_is_refused(field: str, value: object, named: str) -> None:
    with pytest.raises(CalibrationInvalid, match=named):
        parse_calibration(pole_camera() | {field: value}, default_id="c")


@given(scale=st.floats(0.1, 5), angle=st.floats(-3, 3), dx=finite, dy=finite)
def test_alignment_recovers_any_similarity(
    scale: float, angle: float, dx: float, dy: float
) -> None:
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = ARCFACE_112 @ turn.T + [dx, dy]
    matrix = similarity_transform(moved, ARCFACE_112)
    back = moved @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(back, ARCFACE_112, atol=0.05)


boxes = st.tuples(finite, finite, st.floats(0.5, 50), st.floats(0.5, 50)).map(
    lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]]
)


@given(st.lists(boxes, min_size=1, max_size=8))
def test_overlap_is_symmetric_and_one_with_itself(found: list[list[float]]) -> None:
    array = np.array(found)
    overlaps = iou_matrix(array, array)
    np.testing.assert_allclose(overlaps, overlaps.T, atol=1e-9)
    np.testing.assert_allclose(np.diag(overlaps), 1.0, atol=1e-6)
    assert ((overlaps >= 0) & (overlaps <= 1 + 1e-6)).all()


@given(st.lists(boxes, min_size=1, max_size=8))
def test_suppression_keeps_the_best_and_no_two_that_overlap(found: list[list[float]]) -> None:
    array, scores = np.array(found), np.linspace(0.1, 0.9, len(found))
    kept = non_maximum_suppression(array, scores, iou=0.3)
    assert kept[0] == len(found) - 1
    overlaps = iou_matrix(array[kept], array[kept])
    assert (overlaps[~np.eye(len(kept), dtype=bool)] <= 0.3).all()
