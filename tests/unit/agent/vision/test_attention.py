"""Where the networks look: motion gating, tiles on large frames, and keeping up with a camera."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cameras.base import CameraFailed
from agent.cameras.latest import LatestFrame
from agent.vision.motion import REFRESH_US, MotionGate
from agent.vision.tiles import OVERLAP_PX, TILE_WH, TileScanner, tile_boxes
from agent.vision.types import U8, Box, Detection, Frame

RNG = np.random.default_rng(3)
STREET = RNG.integers(60, 190, (90, 160, 3), np.uint8).repeat(8, 0).repeat(8, 1)


def noisy(image: U8, sd: float = 4.0, lift: int = 0) -> U8:
    noise = RNG.normal(lift, sd, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def with_square(image: U8, x: int, y: int, side: int = 24) -> U8:
    out = image.copy()
    out[y : y + side, x : x + side] = 255 - out[y : y + side, x : x + side]
    return out


def test_the_first_picture_is_worth_a_look_and_its_copy_is_not() -> None:
    gate = MotionGate()
    assert gate.worth_a_look(STREET, 0)
    assert not gate.worth_a_look(STREET, 40_000)


def test_noise_and_flicker_are_no_motion() -> None:
    gate = MotionGate()
    gate.worth_a_look(STREET, 0)
    looks = [gate.worth_a_look(noisy(STREET, lift=k % 7), 40_000 * k) for k in range(1, 20)]
    assert not any(looks)


def test_a_small_thing_that_moves_is_found_where_it_is() -> None:
    gate = MotionGate()
    gate.worth_a_look(noisy(STREET), 0)
    assert gate.worth_a_look(with_square(noisy(STREET), 600, 300), 40_000)
    assert any(b[0] <= 612 <= b[2] and b[1] <= 312 <= b[3] for b in gate.moving_boxes())


def test_a_slow_change_adds_up() -> None:
    gate = MotionGate()
    gate.worth_a_look(STREET, 0)
    brightened = STREET.astype(np.float32)
    looks = []
    for k in range(1, 12):
        brightened[200:300, 200:300] += 2.0
        looks.append(gate.worth_a_look(np.clip(brightened, 0, 255).astype(np.uint8), k * 40_000))
    assert not looks[0]
    assert any(looks)


def test_a_still_scene_is_looked_at_now_and_then() -> None:
    gate = MotionGate()
    gate.worth_a_look(STREET, 0)
    assert not gate.worth_a_look(STREET, REFRESH_US - 1)
    assert gate.worth_a_look(STREET, REFRESH_US)


@given(st.integers(200, 4000), st.integers(200, 2200), st.data())
def test_every_small_face_is_whole_in_some_tile(width: int, height: int, data: st.DataObject
                                                ) -> None:  # fmt: skip
    side = data.draw(st.integers(8, OVERLAP_PX - 1))
    x = data.draw(st.integers(0, width - side))
    y = data.draw(st.integers(0, height - side))
    tiles = tile_boxes(width, height)
    assert all(t[2] - t[0] <= TILE_WH[0] and t[3] - t[1] <= TILE_WH[1] for t in tiles)
    assert any(t[0] <= x and t[1] <= y and x + side <= t[2] and y + side <= t[3] for t in tiles)


class BrightSpots:
    """Finds white squares of at least `least` px on its own input size; counts its looks."""

    def __init__(self, least_px: int) -> None:
        self.least_px, self.looks = least_px, 0

    def detect(self, image_rgb: U8, *, threshold: float) -> list[Detection]:
        self.looks += 1
        height, width = image_rgb.shape[:2]
        scale = min(TILE_WH[0] / width, TILE_WH[1] / height, 1.0)
        ys, xs = np.nonzero(image_rgb[:, :, 0] == 255)
        if not len(xs) or (xs.max() - xs.min() + 1) * scale < self.least_px:
            return []
        box = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], np.float32)
        return [Detection(box, np.tile(box[:2], (5, 1)), 0.9)]


def far_face(at_xy: tuple[int, int]) -> U8:
    frame = np.zeros((1080, 1920, 3), np.uint8)
    frame[at_xy[1] : at_xy[1] + 20, at_xy[0] : at_xy[0] + 20] = 255
    return frame


def test_a_far_face_is_found_once_something_moves_there() -> None:
    eyes = BrightSpots(least_px=15)
    scanner = TileScanner(eyes, per_frame=1)
    moving: list[Box] = [(1490.0, 690.0, 1530.0, 730.0)]
    scanner.focus([], moving)
    found = scanner.detect(far_face((1500, 700)), threshold=0.5)
    assert [d.box for d in found] == [(1500.0, 700.0, 1520.0, 720.0)]
    assert eyes.looks == 2


def test_all_tiles_get_their_turn() -> None:
    scanner = TileScanner(BrightSpots(least_px=15), per_frame=1)
    frame = far_face((1500, 700))
    found = [bool(scanner.detect(frame, threshold=0.5)) for _ in tile_boxes(1920, 1080)]
    assert any(found)


def test_a_followed_face_is_looked_at_in_every_frame() -> None:
    scanner = TileScanner(BrightSpots(least_px=15), per_frame=1)
    for k in range(8):
        frame = far_face((700 + 6 * k, 400))
        scanner.focus([(696.0 + 6 * k, 396.0, 716.0 + 6 * k, 416.0)], [(0.0, 0.0, 300.0, 300.0)])
        assert len(scanner.detect(frame, threshold=0.5)) == 1


def test_a_frame_of_the_detectors_size_needs_no_tiles() -> None:
    eyes = BrightSpots(least_px=15)
    TileScanner(eyes, per_frame=4).detect(np.zeros((384, 640, 3), np.uint8), threshold=0.5)
    assert eyes.looks == 1


class Hurried:
    """A camera that gives one frame and, when told, all others at once; then waits or fails."""

    def __init__(self, count: int, *, fails: bool = False) -> None:
        self._count, self._fails = count, fails
        self.go, self.all_given = threading.Event(), threading.Event()
        self.closed = threading.Event()

    def frames(self) -> Iterator[Frame]:
        for k in range(self._count):
            if k == 1:
                self.go.wait(5)
            yield Frame(np.zeros((2, 2, 3), np.uint8), k, 0.0, k)
        self.all_given.set()
        if self._fails:
            raise CameraFailed("camera.source: broke off; check the cable")
        self.closed.wait(5)

    def close(self) -> None:
        self.closed.set()


def test_a_slow_reader_gets_the_newest_frame_and_every_other_is_counted() -> None:
    dropped: list[int] = []
    camera = Hurried(10)
    latest = LatestFrame(camera, lambda: dropped.append(1))
    frames = latest.frames()
    assert next(frames).index == 0
    camera.go.set()
    assert camera.all_given.wait(5)
    last = next(frames)
    latest.close()
    assert last.index == 9
    assert len(dropped) == 8
    assert list(frames) == []


def test_a_camera_that_fails_fails_its_reader() -> None:
    frames = LatestFrame(Hurried(1, fails=True), lambda: None).frames()
    with pytest.raises(CameraFailed):
        list(frames)
