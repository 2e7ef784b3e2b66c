"""The tracker's life cycle, on invented people with known appearance."""

from functools import partial

import numpy as np

from agent.vision.tracker import Seen, Track, Tracker

SECOND = 1_000_000


def appearance(person: int) -> np.ndarray:
    vector = np.random.default_rng(person).normal(size=192)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def face(person: int, x_m: float, y_m: float = 4.0, *, sure: bool = True) -> Seen:
    x = 600 + 220 * x_m
    box = np.array([x, 300, x + 40, 350], np.float32)
    return Seen(box, np.array([x_m, y_m]), partial(appearance, person), may_start=sure)


def feed(tracker: Tracker, frames: list[tuple[float, list[Seen]]]) -> tuple[list, list[Track]]:
    keys, ended = [], []
    for t_s, faces in frames:
        found, over = tracker.update(round(t_s * SECOND), faces)
        keys.append(found)
        ended += over
    return keys, ended


def test_a_person_who_walks_a_metre_a_frame_stays_one_track() -> None:
    keys, _ = feed(Tracker(), [(t, [face(1, -2 + 1.3 * t)]) for t in range(4)])
    assert keys == [[0], [0], [0], [0]]


def test_two_people_who_cross_between_frames_keep_their_tracks() -> None:
    keys, _ = feed(
        Tracker(),
        [
            (0, [face(1, -1.0), face(2, 1.0)]),
            (1, [face(1, -0.3), face(2, 0.4)]),
            (2, [face(2, -0.4), face(1, 0.5)]),
            (3, [face(2, -1.2), face(1, 1.4)]),
        ],
    )
    assert keys == [[0, 1], [0, 1], [1, 0], [1, 0]]


def test_a_swap_in_the_same_boxes_is_noticed_and_ends_both_tracks() -> None:
    # Nobody walks two metres in 40 ms, so neither track may follow its person.
    frames = [(t / 25, [face(1, -1.0), face(2, 1.0)]) for t in range(6)]
    frames += [(t / 25, [face(2, -1.0), face(1, 1.0)]) for t in range(6, 80)]
    keys, ended = feed(Tracker(check_every=3), frames)
    assert {t.key for t in ended} == {0, 1}
    assert all(not set(found) & {0, 1} for found in keys[6 + 3 + 2 :])


def test_a_swap_that_people_can_have_walked_is_followed() -> None:
    frames = [(t, [face(1, -1.0), face(2, 1.0)]) for t in range(4)]
    frames += [(t, [face(2, -1.0), face(1, 1.0)]) for t in range(4, 8)]
    keys, ended = feed(Tracker(), frames)
    assert keys == [[0, 1]] * 4 + [[1, 0]] * 4
    assert ended == []


def test_two_who_swap_behind_an_occlusion_of_a_second_are_found_again() -> None:
    """They walk towards each other, are hidden while they pass, and look nothing alike."""
    times = [t / 25 for t in range(100)]
    seen = [t for t in times if not 1.5 <= t < 2.5]
    keys, ended = feed(Tracker(), [(t, [face(1, t - 2), face(2, 2 - t)]) for t in seen])
    assert keys == [[0, 1]] * len(seen)
    assert ended == []


def test_one_who_looks_away_for_a_moment_stays_one_track() -> None:
    frames = [(t / 25, [face(1, t / 25)]) for t in range(50)]
    for n in (10, 25, 26):
        frames[n] = (n / 25, [face(9, n / 25)])
    keys, _ = feed(Tracker(), frames)
    assert keys == [[0]] * 50


def test_somebody_new_in_a_hidden_persons_place_is_another_track() -> None:
    frames = [(t / 25, [face(1, t / 25)]) for t in range(25)]
    frames += [(t / 25, [face(2, t / 25)]) for t in range(35, 60)]
    keys, _ = feed(Tracker(), frames)
    assert keys == [[0]] * 25 + [[1]] * 25


def test_a_person_alone_is_embedded_at_the_start_and_every_few_faces_only() -> None:
    calls = []

    def counted(n: int) -> Seen:
        plain = face(1, n / 25)
        return Seen(plain.bbox_xyxy, None, lambda: calls.append(n) or plain.embed())

    feed(Tracker(check_every=5), [(n / 25, [counted(n)]) for n in range(50)])
    assert len(set(calls)) <= 50 / 5 + 5


def test_a_short_occlusion_is_bridged_and_a_long_one_is_not() -> None:
    tracker = Tracker()
    _keys, _ = feed(tracker, [(t / 10, [face(1, 0)]) for t in range(5)])
    assert tracker.update(round(1.4 * SECOND), [face(1, 0.1)])[0] == [0]
    found, ended = tracker.update(round(6.0 * SECOND), [face(1, 0.1)])
    assert found != [0]
    assert [t.key for t in ended] == [0]


def test_a_stranger_at_the_same_place_is_another_track() -> None:
    keys, _ = feed(Tracker(), [(0, [face(1, -0.5)]), (1, [face(2, 0.9)])])
    assert keys == [[0], [1]]


def test_a_weak_detection_continues_a_track_but_never_starts_one() -> None:
    keys, _ = feed(
        Tracker(), [(0, [face(1, 0)]), (1, [face(1, 0, sure=False), face(3, 2, sure=False)])]
    )
    assert keys == [[0], [0, None]]


def test_finish_returns_what_is_open_and_forgets_it() -> None:
    tracker = Tracker()
    feed(tracker, [(0, [face(1, 0)]), (1, [face(1, 0)])])
    assert [t.hits for t in tracker.finish()] == [2]
    assert tracker.tracks == []
