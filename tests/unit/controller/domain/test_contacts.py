"""Minutes of closeness, with honest uncertainty."""

from uuid import UUID

import numpy as np
import pytest

from controller.domain.contacts import assess_contacts, load_rule
from controller.domain.types import CameraView, ContactAssessment, MaskMoment, PersonTrack
from tests.unit.controller.domain.test_trace import CALIBRATION

RULE = load_rule()
SECOND = 1_000_000


def template(person: int) -> np.ndarray:
    vector = np.random.default_rng(person).normal(size=192)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def stay(
    person: int, start_s: int, seconds: int, x_m: float, y_m: float = 4.0, mask: str = "unmasked",
    skip: range = range(0),
) -> PersonTrack:  # fmt: skip
    """Somebody stands at a place and is seen every second, but for the seconds in `skip`."""
    times = np.array([start_s + t for t in range(seconds) if t not in skip]) * SECOND
    return PersonTrack(
        tracklet_id=UUID(int=person * 10_000_000 + start_s), is_subject=person == 0,
        start_us=int(times[0]), end_us=int(times[-1]), times_us=times.astype(np.int64),
        places_m=np.tile([x_m, y_m], (len(times), 1)), noise_sd_m=np.full(len(times), 0.02),
        masks=(MaskMoment(int(times[0]), mask),), template=template(person), quality=0.7,
    )  # fmt: skip


def view(camera: str, *tracks: PersonTrack) -> CameraView:
    return CameraView(camera, 3.2, 1.55, 0.12, 1.0, tracks)


def assess(*views: CameraView) -> list[ContactAssessment]:
    return list(assess_contacts(views, RULE, CALIBRATION, seed=1))


def test_sixteen_minutes_split_over_two_cameras_are_a_contact_with_both_masks() -> None:
    (found,) = assess(
        view("a", stay(0, 0, 560, 0.0), stay(1, 10, 540, 1.0, mask="masked")),
        view("b", stay(0, 2000, 440, 0.0), stay(1, 2010, 420, -1.0, mask="masked")),
    )
    assert found.decision == "contact"
    assert found.minutes == pytest.approx(16.0, abs=0.2)
    assert len(found.tracklet_ids) == 2
    assert {(e.camera_id, e.mask_subject, e.mask_contact) for e in found.episodes} == {
        ("a", "unmasked", "masked"), ("b", "unmasked", "masked"),
    }  # fmt: skip


def test_fourteen_minutes_are_no_contact() -> None:
    (found,) = assess(view("a", stay(0, 0, 900, 0.0), stay(1, 10, 840, 1.0)))
    assert found.decision == "no_contact"
    assert found.minutes == pytest.approx(14.0, abs=0.2)


def test_exactly_fifteen_minutes_count_and_a_second_less_does_not() -> None:
    fifteen = assess(view("a", stay(0, 0, 950, 0.0), stay(1, 10, 900, 0.8)))[0]
    less = assess(view("a", stay(0, 0, 950, 0.0), stay(1, 10, 899, 0.8)))[0]
    assert (fifteen.decision, less.decision) == ("contact", "no_contact")


def test_a_distance_that_straddles_the_rule_is_undecided() -> None:
    # One behind the other: an unknown height moves them towards each other or apart.
    (found,) = assess(view("a", stay(0, 0, 1300, 0.0, 4.0), stay(1, 10, 1200, 0.0, 5.8)))
    assert found.decision == "undecided"
    assert found.minutes_interval[0] < RULE.minutes < found.minutes_interval[1]


def test_a_short_gap_is_bridged_and_a_long_one_counts_only_as_possible() -> None:
    short = assess(view("a", stay(0, 0, 700, 0.0), stay(1, 0, 600, 1.0, skip=range(100, 102))))[0]
    assert short.minutes == pytest.approx(10.0, abs=0.1)
    gap = assess(view("a", stay(0, 0, 700, 0.0), stay(1, 0, 600, 1.0, skip=range(100, 160))))[0]
    assert gap.minutes == pytest.approx(9.0, abs=0.1)
    assert gap.minutes_possible == pytest.approx(10.0, abs=0.2)


def test_two_people_seen_at_once_are_never_taken_for_one() -> None:
    twin = stay(2, 5, 500, -1.0)
    twin = PersonTrack(
        twin.tracklet_id, False, twin.start_us, twin.end_us, twin.times_us, twin.places_m,
        twin.noise_sd_m, twin.masks, template(1), 0.7,
    )  # fmt: skip
    found = assess(view("a", stay(0, 0, 600, 0.0), stay(1, 5, 500, 1.0), twin))
    assert [len(c.tracklet_ids) for c in found] == [1, 1]


def test_somebody_far_away_is_not_mentioned() -> None:
    assert assess(view("a", stay(0, 0, 600, 0.0), stay(1, 0, 600, 4.0))) == []


def test_minutes_outside_the_rules_window_do_not_add_up() -> None:
    day = 86_400
    found = assess(
        view("a", stay(0, 0, 560, 0.0), stay(1, 10, 500, 1.0)),
        view("a", stay(0, 2 * day, 560, 0.0), stay(1, 2 * day + 10, 500, 1.0)),
    )
    assert max(c.minutes for c in found) < 9


def test_an_unknown_rule_names_those_there_are() -> None:
    with pytest.raises(KeyError, match="cdc-2020-10-21"):
        load_rule("nothing")
