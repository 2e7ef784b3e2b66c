"""A whole investigation over the API, the real gallery and boxes that speak only the wire."""

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from tests.integration.controller.boxes import Box, Seen
from tests.integration.controller.world import Device, World, error_of, unit
from wire import messages as m
from wire.messages import MaskState
from wire.times import to_us

SUBJECT, FRIEND, PASSER = unit(1), unit(501), unit(502)
DAY_US = to_us(datetime(2026, 11, 19, 10, 0, tzinfo=UTC))


def near(vector: np.ndarray, seed: int, similarity: float = 0.8) -> np.ndarray:
    other = unit(seed)
    other = other - (other @ vector) * vector
    other /= np.linalg.norm(other)
    return np.asarray(similarity * vector + np.sqrt(1 - similarity**2) * other, np.float32)


def seen(
    vector: np.ndarray, minute: float, minutes: float, x_m: float, mask: MaskState | None = None
) -> Seen:
    start_us = DAY_US + round(minute * 60e6)
    return Seen(
        near(vector, round(minute * 7919) + 3),
        start_us,
        start_us + round(minutes * 60e6),
        (x_m, 6.0),
        mask or MaskState.UNMASKED,
    )


def strangers(seed: int, count: int) -> list[Seen]:
    return [
        Seen(unit(seed + n), DAY_US + n * 30_000_000, DAY_US + n * 30_000_000 + 9_000_000, (5, 9))
        for n in range(count)
    ]


@pytest.fixture
def city(world: World) -> Iterator[tuple[World, list[Box]]]:
    """Give a subject at cam-1 and cam-2 with a companion for 18 minutes in all."""
    world.controller.ingest.start()
    boxes = [
        Box(world, world.devices[0], [
            seen(SUBJECT, 0, 10, 0.0), seen(FRIEND, 0, 10, 0.8, MaskState.MASKED),
            *strangers(10_000, 60),
        ]),
        Box(world, world.devices[1], [
            seen(SUBJECT, 20, 8, 0.0, MaskState.MASKED), seen(FRIEND, 20, 8, 0.8),
            seen(PASSER, 21, 1, 1.0), *strangers(20_000, 60),
        ]),
        Box(world, world.devices[2], strangers(30_000, 60)),
    ]  # fmt: skip
    for box in boxes:
        box.publish()
    wait_until(lambda: world.controller.stores.gallery.count() == 185)
    yield world, boxes
    world.controller.ingest.stop()


def wait_until(done: Any, timeout_s: float = 60.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def investigate(world: World, case_id: str) -> dict[str, Any]:
    started = world.request("ivy", "POST", f"/v1/cases/{case_id}/investigate")
    assert started.status_code == 202, started.text
    path = f"/v1/cases/{case_id}"
    wait_until(lambda: world.request("ivy", "GET", path).json()["state"] != "running")
    return dict(world.request("ivy", "GET", path).json())


def test_a_case_is_traced_asked_about_and_reported(city: tuple[World, list[Box]]) -> None:
    world, boxes = city
    case_id = world.approved_case()
    case = investigate(world, case_id)
    assert (case["state"], case["error"]) == ("ready", None)
    report = world.request("ivy", "GET", f"/v1/cases/{case_id}/report.json").json()
    assert [visit["camera_id"] for visit in report["trace"]] == ["cam-1", "cam-2"]
    contacts = {round(one["minutes"]): one for one in report["contacts"]}
    assert contacts[18]["decision"] == "contact"
    first = contacts[18]["episodes"][0]
    assert first["masks"] == {"subject": "unmasked", "contact": "masked"}
    assert [one["decision"] for m, one in contacts.items() if m != 18] == ["no_contact"]
    assert {one["state"] for one in report["queries"]} == {"answered"}
    assert report["agents_total"] == 3
    assert report["agents_queried"] == len({one["agent_id"] for one in report["queries"]})
    assert set(report["timings"]) >= {"match", "trace", "lookback", "contacts", "evidence"}
    assert all(box.uploads == [201] for box in boxes[:2])
    assert {one["camera_id"] for one in report["evidence"]} == {"cam-1", "cam-2"}


def test_pictures_and_html_come_over_the_api_until_the_case_is_closed(
    city: tuple[World, list[Box]],
) -> None:
    world, _ = city
    case_id = world.approved_case()
    investigate(world, case_id)
    base = f"/v1/cases/{case_id}"
    report = world.request("ivy", "GET", f"{base}/report.json").json()
    picture = world.request("ivy", "GET", f"{base}/{report['evidence'][0]['file']}")
    assert picture.content.startswith(b"\xff\xd8\xff")
    page = world.request("ivy", "GET", f"{base}/report.html")
    assert "data:image/jpeg;base64," in page.text
    folder = world.config.data_dir / "evidence"
    assert all(b"redacted" not in path.read_bytes() for path in folder.rglob("*.bin"))
    deleted = world.request("ivy", "POST", f"{base}/close").json()["deleted"]
    assert deleted["evidence_files"] == 2
    assert deleted["queries"] >= 4
    assert deleted["replies"] >= 4
    assert list(folder.rglob("*.bin")) == []
    assert error_of(world.request("ivy", "GET", f"{base}/report.json")) == (410, "state")


def test_every_sighting_is_explained_with_its_cosine_and_the_limit(
    city: tuple[World, list[Box]],
) -> None:
    world, _ = city
    case_id = world.approved_case()
    said = [
        world.request("ivy", "GET", f"/v1/cases/{case_id}/explanation/{one}").json()["photos"][0]
        for one in sorted(world.controller.stores.gallery.ids())[:20]
    ]
    for sentence in said:
        cosine = float(sentence.split("cosine ")[1].split()[0])
        limit = float(re.search(r"\(([\d.]+) for", sentence)[1])  # type: ignore[index]
        assert ("is a candidate" in sentence) == (cosine >= limit)
    entries = [one.action for one in world.controller.stores.audit.lines()]
    assert entries.count("case.explained") >= 20
    nobody = UUID(int=7)
    answer = world.request("ivy", "GET", f"/v1/cases/{case_id}/explanation/{nobody}")
    assert error_of(answer) == (404, "sighting_id")


def test_queries_stay_inside_the_approved_scope(city: tuple[World, list[Box]]) -> None:
    world, boxes = city
    case_id = str(
        world.open_case(
            scope_start="2026-11-19T10:00:00Z",
            scope_end="2026-11-19T10:12:00Z",
            camera_ids=["cam-1", "cam-3"],
        ).json()["case_id"]
    )
    world.request("noor", "POST", f"/v1/cases/{case_id}/approve")
    investigate(world, case_id)
    assert boxes[0].queries
    assert boxes[1].queries == []
    for query in boxes[0].queries:
        assert query.scope.start_us >= DAY_US
        assert query.scope.end_us <= DAY_US + 12 * 60_000_000


def test_a_silent_agent_is_shown_as_unanswered(city: tuple[World, list[Box]]) -> None:
    world, boxes = city
    world.outbox.listeners.remove(boxes[1].receive)
    case_id = world.approved_case()
    case = investigate(world, case_id)
    assert case["state"] == "ready"
    report = world.request("ivy", "GET", f"/v1/cases/{case_id}/report.json").json()
    states = {(one["agent_id"], one["state"]) for one in report["queries"]}
    assert ("box-2", "unanswered") in states
    assert ("box-1", "answered") in states
    assert [visit["camera_id"] for visit in report["trace"]] == ["cam-1", "cam-2"]


def test_stopping_the_controller_ends_an_investigation_that_waits(
    city: tuple[World, list[Box]],
) -> None:
    world, _ = city
    world.outbox.listeners.clear()
    case_id = world.approved_case()
    world.request("ivy", "POST", f"/v1/cases/{case_id}/investigate")
    wait_until(lambda: world.outbox.of_kind("queries"))
    world.controller.asking.stop()
    world.controller.investigator.stop()
    case = world.request("ivy", "GET", f"/v1/cases/{case_id}").json()
    assert case["state"] == "failed"
    assert case["error"].startswith("interrupted")


def test_closing_during_an_investigation_ends_it(city: tuple[World, list[Box]]) -> None:
    world, _boxes = city
    case_id = world.approved_case()

    def close_it(topic: str, _payload: bytes) -> None:
        if topic.endswith("/queries"):
            world.request("ivy", "POST", f"/v1/cases/{case_id}/close")

    world.outbox.listeners.insert(0, close_it)
    investigate_state = investigate(world, case_id)["state"]
    assert investigate_state == "closed"
    time.sleep(0.5)
    assert world.controller.stores.cases.case(UUID(case_id)) is None
    assert list(world.controller.stores.queries.queries(UUID(case_id))) == []


def test_a_reply_of_an_agent_that_was_not_asked_is_not_kept(
    city: tuple[World, list[Box]],
) -> None:
    world, boxes = city
    case_id = world.approved_case()
    investigate(world, case_id)
    query = boxes[0].queries[0]
    forged = m.Reply(
        query_id=query.query_id, agent_id="box-3", spool_id=query.query_id, seq=1,
        status=m.ReplyStatus.REFUSED, part=9, parts_total=9,
    )  # fmt: skip
    assert world.controller.stores.replies.add_reply(forged, 1) is False


def test_keys_are_delivered_to_newly_registered_boxes(world: World) -> None:
    device = Device("box-9", "cam-9")
    assert world.request("tom", "POST", "/v1/fleet", json=[device.row()]).status_code == 201
    world.controller.housekeeping.tick()
    deliveries = [t for t, _, retain in world.outbox.messages if t.endswith("/keys") and retain]
    assert any("box-9" in topic for topic in deliveries)
