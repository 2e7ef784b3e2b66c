"""What people add to a trace over the API: anchors, verdicts, and a look at the plan."""

from typing import Any

import pytest

from tests.integration.controller.boxes import Box
from tests.integration.controller.test_investigation import city, investigate, wait_until
from tests.integration.controller.world import World

__all__ = ["city"]
SAID = {
    "camera_id": "cam-2", "start": "2026-11-19T10:15:00Z", "end": "2026-11-19T10:30:00Z",
    "time_uncertainty_s": 300,
}  # fmt: skip


def test_an_anchor_is_kept_listed_and_erased_with_the_case(world: World) -> None:
    case_id = world.open_case().json()["case_id"]
    path = f"/v1/cases/{case_id}/anchors"
    added = world.request("ivy", "POST", path, json=SAID)
    assert (added.status_code, added.json()["anchor_id"]) == (201, "said-1")
    assert added.json()["x_m"] == 400.0
    listed = world.request("ivy", "GET", path).json()["anchors"]
    assert listed == [added.json()]
    world.request("ivy", "POST", f"/v1/cases/{case_id}/close")
    assert world.request("ivy", "GET", path).status_code == 410


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"camera_id": "cam-99"}, "camera_id"),
        ({"camera_id": None}, "anchor"),
        ({"end": "2026-11-19T10:00:00Z"}, "anchor"),
        ({"confidence": 0.2}, "confidence"),
    ],
)
def test_an_anchor_that_cannot_be_meant_is_refused(
    world: World, change: dict[str, Any], field: str
) -> None:
    case_id = world.open_case().json()["case_id"]
    body = {**SAID, **change}
    answer = world.request("ivy", "POST", f"/v1/cases/{case_id}/anchors", json=body)
    assert answer.status_code in (404, 422)
    assert field in answer.text


def test_an_anchor_can_be_taken_back(world: World) -> None:
    case_id = world.approved_case()
    path = f"/v1/cases/{case_id}/anchors"
    names = [world.request("ivy", "POST", path, json=SAID).json()["anchor_id"] for _ in range(2)]
    assert world.request("ivy", "DELETE", f"{path}/{names[0]}").status_code == 204
    listed = world.request("ivy", "GET", path).json()["anchors"]
    assert [one["anchor_id"] for one in listed] == names[1:]
    assert world.request("ivy", "DELETE", f"{path}/{names[0]}").status_code == 404


def test_an_agent_that_is_away_is_asked_without_waiting_and_its_late_answer_counts(
    city: tuple[World, list[Box]],
) -> None:
    world, boxes = city
    boxes[1].away()
    case_id = world.approved_case()
    investigate(world, case_id)
    before = world.request("ivy", "GET", f"/v1/cases/{case_id}/report.json").json()
    assert "unanswered" not in {one["state"] for one in before["queries"]}
    counters = world.controller.ingest.counters
    told = counters.replies_total + boxes[1].back()
    wait_until(lambda: counters.replies_total >= told)
    again = world.request("ivy", "POST", f"/v1/cases/{case_id}/refresh").json()
    assert [visit["camera_id"] for visit in again["trace"]] == ["cam-1", "cam-2"]
    after = world.request("ivy", "GET", f"/v1/cases/{case_id}/report.json").json()
    minutes = [max(one["minutes"] for one in report["contacts"]) for report in (before, after)]
    assert minutes[1] > minutes[0] + 5


def test_a_plan_is_shown_before_anybody_is_asked(city: tuple[World, list[Box]]) -> None:
    world, _ = city
    case_id = world.approved_case()
    path = f"/v1/cases/{case_id}/plan"
    assert world.request("ivy", "GET", path).status_code == 404
    plan = world.request("ivy", "POST", path).json()
    assert {q["agent_id"] for q in plan["questions"] if q["holds_accepted_sightings"]} == {
        "box-1", "box-2",
    }  # fmt: skip
    assert all("subject" in q["reason"] for q in plan["questions"])
    assert "accepted sightings" in plan["summary"]
    assert world.outbox.of_kind("queries") == []
    assert world.request("ivy", "GET", path).json() == plan
    assert world.request("max", "GET", path).status_code == 403


def test_a_withdrawn_case_has_no_plan_no_trace_and_no_anchors(world: World) -> None:
    case_id = world.open_case().json()["case_id"]
    world.request("ivy", "POST", f"/v1/cases/{case_id}/anchors", json=SAID)
    closed = world.request("ivy", "POST", f"/v1/cases/{case_id}/close").json()
    assert closed["state"] == "withdrawn"
    for path in ("plan", "trace", "anchors"):
        assert world.request("ivy", "GET", f"/v1/cases/{case_id}/{path}").status_code == 410


def test_a_reviewers_no_takes_a_sighting_out_and_undo_brings_it_back(
    city: tuple[World, list[Box]],
) -> None:
    world, _ = city
    case_id = world.approved_case()
    investigate(world, case_id)
    trace = world.request("ivy", "GET", f"/v1/cases/{case_id}/trace").json()
    assert [visit["camera_id"] for visit in trace["trace"]] == ["cam-1", "cam-2"]
    sighting = trace["trace"][0]["sighting_ids"][0]
    base = f"/v1/cases/{case_id}/sightings/{sighting}"
    rejected = world.request("ivy", "POST", f"{base}/reject").json()
    assert sighting not in [one for visit in rejected["trace"] for one in visit["sighting_ids"]]
    report = world.request("ivy", "GET", f"/v1/cases/{case_id}/report.json").json()
    assert [visit["camera_id"] for visit in report["trace"]] == [
        visit["camera_id"] for visit in rejected["trace"]
    ]
    asked = len(world.outbox.of_kind("queries"))
    back = world.request("ivy", "POST", f"{base}/undo").json()
    assert sighting in [one for visit in back["trace"] for one in visit["sighting_ids"]]
    assert len(world.outbox.of_kind("queries")) == asked
    unknown = world.request("ivy", "POST", f"{base[:-12]}{'0' * 12}/confirm")
    assert unknown.status_code == 404
