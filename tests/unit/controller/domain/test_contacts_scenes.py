"""The scenes by which contacts are judged are what they claim to be."""

import numpy as np
import pytest

from agent.vision import ground
from controller.domain.types import CameraView
from sim.scenes.camera import FACE_WIDTH_M, HEAD_PLANE_M, LEAST_FACE_PX, PoleCamera, draw_camera
from sim.scenes.generate import scenes
from sim.scenes.people import CALIBRATION, draw_someone
from sim.scenes.score import f1_of

PERFECT = PoleCamera(3.5, 0.3, 0.0, 0.0, 1400.0, 1920)


def agents_view(camera: PoleCamera) -> ground.CameraCalibration:
    s, c = np.sin(camera.tilt), np.cos(camera.tilt)
    turn = np.array([[1.0, 0.0, 0.0], [0.0, -s, -c], [0.0, c, -s]])
    matrix = np.array([[camera.focal_px, 0, 0], [0, camera.focal_px, 0], [0, 0, 1.0]])
    return ground.CameraCalibration(
        "x", (1920, 1080), matrix, turn, -turn @ np.array([0.0, 0.0, camera.height_m])
    )


def test_heads_are_placed_as_the_agent_places_them() -> None:
    agent, heads = agents_view(PERFECT), np.array([[0.5, 4.0, 1.62], [-2.0, 9.0, 1.2]])
    pixels = agent.project(heads)
    rng = np.random.default_rng(1)
    placed = np.array([PERFECT.see(heads, rng)[0] for _ in range(400)])
    noise = PERFECT.see(heads, rng)[1]
    for k in (0, 1):
        found = agent.on_head_plane(pixels[k])
        assert found is not None
        assert placed[:, k].mean(axis=0) == pytest.approx(found[0], abs=0.03)
        assert noise[k] == pytest.approx(found[1], rel=0.1)
    assert (ground.HEAD_HEIGHT_M, ground.PIXEL_SD) == (HEAD_PLANE_M, 1.5)


def test_a_pair_at_ten_metres_from_a_pole_of_three_and_a_half_is_off_by_nine_tenths() -> None:
    rng = np.random.default_rng(3)
    heads = [draw_someone(rng).standing_m for _ in range(4000)]
    pairs = np.array(heads).reshape(-1, 2)
    off = [PERFECT.see(np.array([[0, 10.0, a], [0, 10.0, b]]), rng)[0] for a, b in pairs]
    between = np.array([o[1, 1] - o[0, 1] for o in off])
    assert 0.75 < between.std() < 1.05


def test_nobody_is_seen_further_away_than_a_face_of_28_pixels() -> None:
    camera = draw_camera(np.random.default_rng(1))
    slant = np.hypot(camera.reach_m, camera.height_m - HEAD_PLANE_M)
    assert camera.focal_px * FACE_WIDTH_M / slant >= LEAST_FACE_PX - 1e-6
    beyond = np.array([[0.0, camera.reach_m + 0.1], [0.0, -3.0]])
    assert not camera.in_view(beyond).any()


def test_a_scene_depends_on_its_seed_and_number_only() -> None:
    few, many = list(scenes(5, 2, distance_m=1.83)), list(scenes(5, 4, distance_m=1.83))
    assert [s.truths for s in few] == [s.truths for s in many[:2]]
    assert few[0].truths != next(iter(scenes(6, 1, distance_m=1.83))).truths


def test_the_truth_is_within_itself() -> None:
    for scene in scenes(7, 20, distance_m=1.83):
        assert all(isinstance(one, CameraView) for one in scene.views)
        for truth in scene.truths:
            assert 0 <= truth.minutes <= truth.common_minutes + 1e-9
            assert truth.minutes <= truth.near_share * truth.common_minutes + 1e-9
            assert 0 <= truth.visible_share <= 1


def test_faces_lie_as_far_apart_as_the_model_packs() -> None:
    rng = np.random.default_rng(2)
    people = [draw_someone(rng) for _ in range(150)]
    first, again, masked = (
        np.array([p.template(m, rng) for p in people]) for m in (False, False, True)
    )
    strangers = (first @ again.T)[~np.eye(len(people), dtype=bool)]
    known = CALIBRATION.pairs["unmasked-unmasked"]
    assert strangers.std() == pytest.approx(known.impostor_sd, abs=0.01)
    assert np.sum(first * again, axis=1).mean() == pytest.approx(known.genuine_mean, abs=0.04)
    across = CALIBRATION.pairs["masked-unmasked"].genuine_mean
    assert np.sum(first * masked, axis=1).mean() == pytest.approx(across, abs=0.05)


def test_f1_counts_what_it_says() -> None:
    pairs = [(True, True), (True, True), (True, False), (False, True), (False, False)]
    assert f1_of(pairs) == pytest.approx(2 * 2 / (2 * 2 + 2))
    assert f1_of([]) == 1.0
