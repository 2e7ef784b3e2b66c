"""Streets, venues and cameras of the synthetic city."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from sim.city.cameras import NOWHERE, set_up_cameras
from sim.city.draws import Draws
from sim.city.links import REACH_M
from sim.city.making import Making
from sim.city.streets import lay_streets
from sim.city.types import CityPlan
from sim.city.venues import open_venues
from sim.errors import SimError


@pytest.mark.parametrize(
    ("field", "value"),
    [("cameras", 1), ("people", 1), ("days", 0), ("mask_rate", 1.1), ("miss_rate", 1.0),
     ("clock_error_s", -1.0), ("cases", 0), ("seed", -1)],
)  # fmt: skip
def test_a_plan_that_cannot_be_made_names_its_field(field: str, value: float) -> None:
    with pytest.raises(SimError, match=f"^{field}: give"):
        CityPlan(**{field: value})


def test_a_number_depends_on_its_purpose_and_keys_only() -> None:
    draws, keys = Draws(1), np.arange(50_000)
    whole = draws.uniform("speed", keys, 3)

    assert np.array_equal(draws.uniform("speed", keys[::-1], 3)[::-1], whole)
    assert not np.array_equal(draws.uniform("home", keys, 3), whole)
    assert not np.array_equal(Draws(2).uniform("speed", keys, 3), whole)
    assert whole.mean() == pytest.approx(0.5, abs=0.01)
    assert whole.var() == pytest.approx(1 / 12, abs=0.002)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 150))
def test_every_step_leads_nearer_to_its_goal(seed: int, cameras: int) -> None:
    streets = lay_streets(np.random.default_rng(seed), cameras)
    rng = np.random.default_rng(seed)
    for goal, at in rng.integers(0, len(streets), (5, 2)):
        if streets.step[goal, at] < 0:
            continue
        for _ in range(len(streets)):
            if at == goal:
                break
            at = streets.beside[at, streets.step[goal, at]]
        assert at == goal


def test_a_link_looks_the_same_from_both_ends() -> None:
    streets = lay_streets(np.random.default_rng(1), 100)
    node, slot = np.nonzero(streets.beside >= 0)
    other, back = streets.beside[node, slot], streets.back[node, slot]

    assert np.array_equal(streets.beside[other, back], node)
    assert np.allclose(streets.length_m[other, back], streets.length_m[node, slot])


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 90))
def test_as_many_cameras_as_planned(seed: int, count: int) -> None:
    plan = CityPlan(seed, count, people=20, cases=1)
    streets = lay_streets(np.random.default_rng(seed), count)
    venues = open_venues(np.random.default_rng(seed), streets, count)
    cameras = set_up_cameras(plan, Draws(seed), streets, venues)

    assert len(cameras.sites) == len(cameras.optics) == count
    assert len(set(cameras.sites.camera_ids)) == count
    looked_up = np.concatenate([cameras.at_node, cameras.entrance, cameras.inside])
    assert sorted(looked_up[looked_up >= 0]) == list(range(count))


def test_a_street_camera_sees_faces_that_come_towards_it() -> None:
    making = Making(CityPlan(1, 120, 100, cases=1))
    ways, streets = making.cameras.ways, making.streets
    towards, away = [], []
    for camera in making.cameras.at_node[making.cameras.at_node >= 0]:
        node = making.cameras.node[camera]
        foot = np.array([making.cameras.sites.x_m[camera], making.cameras.sites.y_m[camera]])
        look = streets.places_m[node] - foot
        for slot, other in enumerate(streets.beside[node]):
            if other < 0:
                continue
            leg = streets.places_m[other] - streets.places_m[node]
            cosine = look @ leg / np.linalg.norm(look) / np.linalg.norm(leg)
            seen = np.isfinite(ways.face_from_m[camera, slot, NOWHERE])
            (towards if cosine > 0.9 else away if cosine < -0.5 else []).append(seen)
    assert np.mean(towards) > 0.9
    assert np.mean(away) < 0.1


def test_neighbours_have_no_third_camera_between() -> None:
    making = Making(CityPlan(3, 150, 100, cases=1))
    links, node, streets = making.links, making.cameras.node, making.streets
    pairs = set(zip(links.start.tolist(), links.goal.tolist(), strict=True))
    assert {(b, a) for a, b in pairs} == pairs
    assert 2 < len(pairs) / 150 < 20

    start, slot = np.nonzero(streets.beside >= 0)
    goal, length = streets.beside[start, slot], streets.length_m[start, slot]
    for a in (0, 40, 149):
        reached = {}
        for b in np.flatnonzero(node != node[a]):
            # The way with all other cameras' nodes taken out of the streets.
            shut = np.setdiff1d(node, node[[a, b]])
            free = ~np.isin(start, shut) & ~np.isin(goal, shut)
            graph = csr_array((length[free], (start[free], goal[free])), shape=(len(streets),) * 2)
            way_m = dijkstra(graph, indices=node[a])[node[b]]
            if way_m <= REACH_M:
                reached[int(b)] = way_m / 1.35
        mine = (links.start == a) & (node[links.goal] != node[a])
        found = dict(zip(links.goal[mine].tolist(), links.walk_s[mine].tolist(), strict=True))
        assert found == pytest.approx(reached)


def test_a_camera_that_is_down_is_known_to_be() -> None:
    making = Making(CityPlan(1, 150, 100, days=3, cases=1))
    down, cameras = making.cameras.down, making.cameras
    middle_s = (down.start_us + down.end_us) / 2e6 - 1_767_225_600
    after_s = down.end_us / 1e6 - 1_767_225_600 + 1

    assert 20 < len(down) < 120
    assert cameras.is_down(down.camera.astype(np.int32), middle_s, middle_s).all()
    assert not cameras.is_down(down.camera.astype(np.int32), after_s, after_s).any()
