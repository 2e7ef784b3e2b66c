"""Cameras that are known exactly, and what they would see."""

import cv2
import numpy as np

from agent.vision.charuco import BoardSpec
from agent.vision.ground import F64, CameraCalibration
from agent.vision.pairs import PointPair
from agent.vision.types import U8

SIZE = (1280, 720)
SPOTS = (
    (0.12, 0.93), (0.88, 0.9), (0.2, 0.3), (0.8, 0.32), (0.5, 0.6),
    (0.42, 0.2), (0.92, 0.5), (0.1, 0.62), (0.6, 0.8), (0.7, 0.2),
)  # fmt: skip
PIXELS_PER_M = 1000.0


def pole_camera(
    height_m: float = 3.5, tilt_rad: float = 0.45, focal_px: float = 1100.0, *,
    roll_rad: float = 0.0, size: tuple[int, int] = SIZE, bend: tuple[float, ...] = (0.0,) * 5,
) -> CameraCalibration:  # fmt: skip
    """A camera near (0, 0, height) that looks along +y, tilted down, rolled about its axis."""
    sin, cos = np.sin(tilt_rad), np.cos(tilt_rad)
    level = np.array([[1, 0, 0], [0, -sin, -cos], [0, cos, -sin]])
    s, c = np.sin(roll_rad), np.cos(roll_rad)
    turn = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1.0]]) @ level
    matrix = np.array([[focal_px, 0, size[0] / 2], [0, focal_px, size[1] / 2], [0, 0, 1]])
    centre = np.array([0.2, -0.1, height_m])
    return CameraCalibration("known", size, matrix, turn, -turn @ centre, np.array(bend))


def clicked_pairs(
    camera: CameraCalibration, count: int = 6, *, seed: int = 0, click_px: float = 0.0,
    tape_m: float = 0.0,
) -> list[PointPair]:  # fmt: skip
    """Points on the ground, spread over the picture, measured and clicked with noise."""
    random, pairs = np.random.default_rng(seed), []
    for i, spot in enumerate(SPOTS[:count], start=1):
        pixel = np.array(spot) * camera.image_size_wh + random.uniform(-20, 20, 2)
        while (place := camera.on_plane(pixel, 0.0)) is None or np.hypot(*place) > 30:
            pixel[1] += 20  # lower in the picture is nearer
        measured = place + random.normal(0, 1, 2) * tape_m
        seen = np.clip(pixel + random.normal(0, 1, 2) * click_px, 0, camera.image_size_wh)
        pairs.append(PointPair(f"p{i}", (seen[0], seen[1]), (measured[0], measured[1], 0.0)))
    return pairs


def pixel_grid(size: tuple[int, int]) -> F64:
    """Every pixel's centre, (H * W, 2)."""
    u, v = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    return np.column_stack([u.ravel(), v.ravel()]).astype(float)


def render_board(
    spec: BoardSpec, camera: CameraCalibration, rays: F64, turn: F64, corner_m: F64
) -> U8:
    """What a camera with these world rays (H * W, 3) sees of a board, RGB.

    The board's lower left corner is at `corner_m`, its x, y and facing axes are `turn`'s columns.
    """
    width, height = spec.columns * spec.square_m, spec.rows * spec.square_m
    across, down = round(width * PIXELS_PER_M), round(height * PIXELS_PER_M)
    print_ = spec.board().generateImage((across, down))
    offset, facing = corner_m - camera.centre_m, turn[:, 2]
    reach = (facing @ offset) / (rays @ facing)
    local = (rays * reach[:, None] - offset) @ turn
    where = np.column_stack([local[:, 0], height - local[:, 1]]) * PIXELS_PER_M - 0.5
    where[reach <= 0] = -1e4
    size = camera.image_size_wh
    across_map, down_map = where.T.astype(np.float32).reshape(2, size[1], size[0])
    seen = cv2.remap(print_, across_map, down_map, cv2.INTER_LINEAR, borderValue=(140,))
    # A real lens blurs a little; without it the nearest sample would jump along edges.
    soft = cv2.GaussianBlur(seen, (3, 3), 0.6)
    return np.asarray(np.repeat(soft[:, :, None], 3, axis=2), np.uint8)


def held_poses(spec: BoardSpec, count: int, seed: int = 0) -> list[tuple[F64, F64]]:
    """Boards held before a camera at the origin that looks along +z: axes and lower left corner."""
    random, poses = np.random.default_rng(seed), []
    half = np.array([spec.columns, spec.rows, 0]) * spec.square_m / 2
    corners = [(-1, -1), (1, -1), (-1, 1), (1, 1), (0, 0)]
    for i in range(count):
        spin = np.append(random.uniform(0.2, 0.6, 2) * random.choice([-1, 1], 2), 0.0)
        turn = np.asarray(cv2.Rodrigues(spin)[0], np.float64) @ np.diag([1.0, -1.0, -1.0])
        far = random.uniform(0.9, 1.3)
        aim = np.array([*(np.array(corners[i % 5]) * [0.22, 0.14] * far), far])
        poses.append((turn, aim - turn @ half))
    return poses
