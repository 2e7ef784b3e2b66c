"""Whose tracklets are whose, and with what probability."""

from dataclasses import replace
from uuid import UUID

import numpy as np
import pytest

from controller.domain.contacts import assess_contacts, load_rule
from controller.domain.linking import MAX_TRACKS, link_people
from controller.domain.types import PersonTrack
from tests.unit.controller.domain.test_contacts import stay, template, view
from tests.unit.controller.domain.test_trace import CALIBRATION


def alike(track: PersonTrack, person: int, cosine: float) -> PersonTrack:
    """Return the tracklet with a template at this cosine from a person's."""
    face = template(person).astype(float)
    other = template(1000 + person).astype(float)
    other -= (other @ face) * face
    mixed = cosine * face + np.sqrt(1 - cosine**2) * other / np.linalg.norm(other)
    return replace(track, template=mixed.astype(np.float32))


def test_the_same_face_in_two_cameras_is_one_person_for_nearly_certain() -> None:
    (person,) = link_people(
        [view("a", stay(1, 0, 100, 0.0)), view("b", stay(1, 900, 100, 0.0))], CALIBRATION
    )
    assert len(person.members) == 2
    assert min(m.probability for m in person.members) > 0.99


def test_strangers_stay_apart() -> None:
    views = [view("a", stay(1, 0, 100, 0.0)), view("b", stay(2, 900, 100, 0.0))]
    assert [len(p.members) for p in link_people(views, CALIBRATION)] == [1, 1]


def test_a_doubtful_face_is_a_possibility_of_both_and_certain_of_none() -> None:
    views = [
        view("a", stay(1, 0, 600, 0.0)),
        view("b", alike(stay(2, 3000, 500, 0.0), 1, 0.36)),
    ]
    people = link_people(views, CALIBRATION)
    assert [len(p.members) for p in people] == [1, 1]
    assert [len(p.possible) for p in people] == [1, 1]
    assert 0.05 <= people[0].possible[0].probability < 0.5


def test_a_doubtful_link_never_makes_a_contact_silently() -> None:
    first = view("a", stay(0, 0, 600, 0.0), stay(1, 0, 540, 1.0))
    second = view("b", stay(0, 3000, 600, 0.0), alike(stay(2, 3000, 540, 1.0), 1, 0.42))
    found = assess_contacts([first, second], load_rule(), CALIBRATION, seed=1)
    best = found[0]
    assert len(best.tracklet_ids) == 2
    assert 0.5 < best.link_probability < 0.9
    assert best.decision == "undecided"
    assert best.probability == pytest.approx(best.link_probability, abs=0.06)
    assert "not sure that all sightings are of one person" in best.reason


def test_a_face_that_is_found_again_at_once_in_its_place_needs_less_likeness() -> None:
    lost, found = stay(1, 0, 100, 0.0), alike(stay(3, 104, 100, 0.1), 1, 0.3)
    here = link_people([view("a", lost, found)], CALIBRATION)
    elsewhere = link_people([view("a", lost), view("b", found)], CALIBRATION)
    assert [len(p.members) for p in here] == [2]
    assert [len(p.members) for p in elsewhere] == [1, 1]


def test_people_seen_at_once_are_two_however_alike() -> None:
    both = [stay(1, 0, 100, 0.0), alike(stay(2, 50, 100, 1.0), 1, 0.99)]
    assert [len(p.members) for p in link_people([view("a", *both)], CALIBRATION)] == [1, 1]


def test_without_a_template_nobody_is_linked_across_cameras() -> None:
    bare = [replace(stay(1, start, 100, 0.0), template=None) for start in (0, 900)]
    views = [view("a", bare[0]), view("b", bare[1])]
    assert [len(p.members) for p in link_people(views, CALIBRATION)] == [1, 1]


def test_more_tracklets_than_the_limit_are_cut_to_the_longest() -> None:
    many = [
        replace(stay(1, 200 * k, 20 + (k >= 30), 0.0), tracklet_id=UUID(int=k + 1))
        for k in range(MAX_TRACKS + 30)
    ]
    people = link_people([view("a", *many)], CALIBRATION)
    kept = {m.tracklet_id.int for p in people for m in p.members}
    assert kept == set(range(31, MAX_TRACKS + 31))
