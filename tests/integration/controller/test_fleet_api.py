"""Bulk registration: all or nothing, every fault named by its line."""

import base64
import itertools
from typing import Any

import pytest

from tests.integration.controller.world import Device, World, error_of


def add(world: World, rows: Any, who: str = "tom") -> Any:
    return world.request(who, "POST", "/v1/fleet", json=rows)


def test_a_fleet_file_is_added_whole_and_listed(world: World) -> None:
    rows = [Device(f"new-{n}", f"newcam-{n}").row() for n in range(300)]
    answer = add(world, rows)
    assert (answer.status_code, answer.json()) == (201, {"added": 300, "shards": [0, 1]})
    listed = world.request("ivy", "GET", "/v1/fleet").json()
    assert listed["agents_total"] == 303
    shards = [one["shard"] for one in listed["agents"]]
    assert shards == [0] * 256 + [1] * 47


def test_one_bad_row_means_that_none_is_added_and_each_fault_has_its_line(world: World) -> None:
    good, other = Device("a", "ca").row(), Device("b", "cb").row()
    rows = [
        good,
        {**other, "agent_id": "bad id"},
        {**other, "camera_id": "ca"},
        {**other, "x_m": "far"},
        {**other, "sealing_public_b64": "AAAA"},
        {**other, "surprise": 1},
        {key: value for key, value in other.items() if key != "y_m"},
        {**other, "agent_id": "box-1"},
        "nonsense",
    ]
    answer = add(world, rows)
    assert error_of(answer) == (422, "fleet")
    error = answer.json()["error"]
    assert [(one["line"], one["field"]) for one in error["rows"]] == [
        (2, "agent_id"), (3, "camera_id"), (4, "x_m"), (5, "sealing_public_b64"),
        (6, "surprise"), (7, "y_m"), (8, "agent_id"), (9, "row"),
    ]  # fmt: skip
    assert "nothing was added" in error["message"]
    assert "\n" not in error["message"]
    assert world.request("ivy", "GET", "/v1/fleet").json()["agents_total"] == 3


def test_a_signing_key_belongs_to_one_box(world: World) -> None:
    row = Device("c", "cc").row()
    row["signing_public_b64"] = world.devices[0].row()["signing_public_b64"]
    assert add(world, [row]).json()["error"]["rows"][0]["field"] == "signing_public_b64"


@pytest.mark.parametrize("rows", [[], {}, 7, None])
def test_what_is_no_list_of_agents_is_refused(world: World, rows: Any) -> None:
    assert error_of(add(world, rows))[0] == 422


def test_investigators_register_nothing(world: World) -> None:
    assert error_of(add(world, [Device("d", "cd").row()], who="ivy")) == (403, "role")


def test_figures_are_numbers_only(world: World) -> None:
    figures = world.request("max", "GET", "/v1/stats").json()
    assert figures["agents_registered"] == 3
    text = world.http.get("/metrics").text
    assert "sightline_controller_agents_registered 3.0\n" in text
    samples = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(len(line.split()) == 2 for line in samples)


def test_the_audit_is_for_auditors_and_its_hashes_chain(world: World) -> None:
    assert error_of(world.request("ivy", "GET", "/v1/audit")) == (403, "role")
    lines = world.request("max", "GET", "/v1/audit").json()["lines"]
    assert lines[0]["prev_hash"] == "0" * 64
    assert all(b["prev_hash"] == a["hash"] for a, b in itertools.pairwise(lines))
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))


def test_wrong_passwords_must_wait(world: World) -> None:
    body = {"name": "ivy", "password": "wrong"}
    answers = [world.http.post("/v1/login", json=body).status_code for _ in range(6)]
    assert answers == [401] * 5 + [429]
    world.clock.advance(minutes=1.1)
    assert world.http.post("/v1/login", json=body).status_code == 401


def test_an_oversized_request_is_refused_before_it_is_read(world: World) -> None:
    rows = [{"agent_id": base64.b64encode(bytes(13 * 1024 * 1024)).decode()}]
    assert error_of(add(world, rows)) == (413, "body")
