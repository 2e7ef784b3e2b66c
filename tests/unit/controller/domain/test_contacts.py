"""Minutes of closeness, with honest uncertainty."""

from dataclasses import replace
from datetime import UTC, datetime
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


def test_a_short_gap_is_bridged_and_a_long_one_is_weighed() -> None:
    short = assess(view("a", stay(0, 0, 700, 0.0), stay(1, 0, 600, 1.0, skip=range(100, 102))))[0]
    assert short.minutes == pytest.approx(10.0, abs=0.1)
    assert short.minutes_observed == pytest.approx(10.0, abs=0.1)
    gap = assess(view("a", stay(0, 0, 600, 0.0), stay(1, 0, 600, 1.0, skip=range(100, 160))))[0]
    assert gap.minutes_observed == pytest.approx(9.0, abs=0.1)
    assert gap.minutes_possible == pytest.approx(10.0, abs=0.2)
    assert gap.minutes_observed < gap.minutes < gap.minutes_possible


def test_an_absence_of_ten_minutes_is_rather_an_absence() -> None:
    gap = assess(view("a", stay(0, 0, 1800, 0.0), stay(1, 0, 1800, 1.0, skip=range(600, 1200))))[0]
    assert gap.minutes_observed == pytest.approx(20.0, abs=0.1)
    assert 20.0 < gap.minutes < 24.0
    assert gap.minutes_possible == pytest.approx(30.0, abs=0.3)


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


def test_minutes_over_midnight_and_a_clock_change_add_up() -> None:
    # Summer time began in Berlin on 2026-03-29 at 01:00 UTC.
    before = datetime(2026, 3, 28, 22, 55, tzinfo=UTC)
    after = datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
    early, late = (round(t.timestamp()) for t in (before, after))
    (found,) = assess(
        view("a", stay(0, early, 560, 0.0), stay(1, early, 540, 1.0)),
        view("b", stay(0, late, 460, 0.0), stay(1, late, 440, 1.0)),
    )
    assert found.minutes == pytest.approx(980 / 60, abs=0.2)
    assert found.decision == "contact"


def test_a_window_of_24_hours_does_not_care_about_midnight() -> None:
    hour = 3600
    apart = view("a", stay(0, 0, 500, 0.0), stay(1, 0, 480, 1.0))
    within = assess(apart, view("b", stay(0, 23 * hour, 500, 0.0), stay(1, 23 * hour, 480, 1.0)))
    beyond = assess(apart, view("b", stay(0, 25 * hour, 500, 0.0), stay(1, 25 * hour, 480, 1.0)))
    assert max(c.minutes for c in within) == pytest.approx(16.0, abs=0.2)
    assert max(c.minutes for c in beyond) == pytest.approx(8.0, abs=0.2)


def test_two_people_who_are_never_apart_are_two_and_a_contact() -> None:
    parts = [
        view(f"cam-{k}", stay(0, 2000 * k, 300, 0.0), stay(1, 2000 * k, 300, 0.6)) for k in range(6)
    ]
    (found,) = assess(*parts)
    assert found.decision == "contact"
    assert found.minutes == pytest.approx(30.0, abs=0.5)
    assert len(found.tracklet_ids) == 6


def test_a_camera_that_sees_the_subject_300_times() -> None:
    mine = [stay(0, 60 * k, 20, 0.0) for k in range(300)]
    theirs = [stay(1, 60 * k, 20, 1.0) for k in range(0, 300, 6)]
    (found,) = assess(view("a", *mine, *theirs))
    assert found.minutes_observed == pytest.approx(50 * 20 / 60, rel=0.1)
    assert found.minutes_observed <= found.minutes <= found.minutes_possible
    assert len(found.tracklet_ids) == 50


def test_two_cases_share_a_contact_without_changing_each_other() -> None:
    shared, other = stay(1, 0, 1100, 1.0), stay(2, 0, 1100, -1.0)
    first = assess(view("a", stay(0, 0, 1100, 0.0), shared))
    second = assess(view("a", replace(other, is_subject=True), shared, stay(3, 0, 1100, 6.0)))
    assert first[0].tracklet_ids == second[0].tracklet_ids
    assert first[0].decision == "contact"
    again = assess(view("a", stay(0, 0, 1100, 0.0), shared, stay(4, 0, 1100, 0.0, 5.0)))
    same = next(c for c in again if c.tracklet_ids == first[0].tracklet_ids)
    assert same.minutes_interval == first[0].minutes_interval


def test_the_same_seed_gives_the_same_answer() -> None:
    one = view("a", stay(0, 0, 900, 0.0, 5.0), stay(1, 0, 900, 1.0, 6.5))
    assert assess(one) == assess(one)


def test_an_uncalibrated_camera_says_nothing_of_distances() -> None:
    blind = CameraView("a", None, None, None, 1.0, (stay(0, 0, 900, 0.0), stay(1, 0, 900, 1.0)))
    assert assess(blind) == []


def test_masks_that_change_are_told_episode_by_episode() -> None:
    (found,) = assess(
        view("a", stay(0, 0, 600, 0.0), stay(1, 0, 600, 1.0, mask="masked")),
        view("b", stay(0, 2000, 600, 0.0, mask="masked"), stay(1, 2000, 600, 1.0)),
    )
    assert [(e.mask_subject, e.mask_contact) for e in found.episodes] == [
        ("unmasked", "masked"), ("masked", "unmasked"),
    ]  # fmt: skip
    assert (found.mask_subject, found.mask_contact) == ("mixed", "mixed")


def test_the_reason_names_what_makes_it_undecided() -> None:
    (found,) = assess(view("a", stay(0, 0, 1300, 0.0, 4.0), stay(1, 10, 1200, 0.0, 5.8)))
    assert "unknown heights" in found.reason
    assert found.reason.endswith(".")
    assert RULE.name in found.reason
