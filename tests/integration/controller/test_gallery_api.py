"""The gallery's care through the API: figures, verification, erasing days and their keys."""

import os
from datetime import timedelta

import pytest

from controller.services.ports import GalleryRow
from tests.integration.controller.world import PEOPLE, World, error_of
from wire.ids import uuid7
from wire.times import epoch_of_us


def fill(world: World, days_ago: int, count: int) -> None:
    start_us = world.clock.now_us() - days_ago * 86_400_000_000
    rows = [
        GalleryRow(
            id=uuid7(unix_ms=start_us // 1000), agent_id="box-1", camera_id="cam-1",
            epoch=epoch_of_us(start_us), shard=0, start_us=start_us + i, end_us=start_us + i + 9,
            time_uncertainty_s=0.1, space_id="space", variant="float", template=os.urandom(192),
            mask_state="masked", mask_probability=0.9, quality=0.5, face_count=2,
        )
        for i in range(count)
    ]  # fmt: skip
    world.controller.stores.gallery.insert(rows)


def day(world: World, days_ago: int) -> str:
    return (world.clock.moment - timedelta(days=days_ago)).date().isoformat()


def keeper(_world: World) -> str:
    return next(name for name, role in PEOPLE.items() if role == "administrator")


def test_figures_and_verification(world: World) -> None:
    fill(world, 0, 20)
    figures = world.request("tom", "GET", "/v1/gallery/stats").json()
    assert (figures["sightings"], figures["epochs"], figures["segments"]) == (20, 1, 1)
    assert figures["table_bytes"] > 0
    answer = world.request(keeper(world), "POST", "/v1/gallery/verify")
    assert answer.json() == {"differences": []}
    answer = world.request(keeper(world), "POST", "/v1/gallery/rebuild")
    assert answer.json() == {"sightings": 20}


def test_days_past_retention_go_with_their_keys_and_the_audit_says_who_did_it(
    world: World,
) -> None:
    fill(world, 0, 5)
    fill(world, 20, 7)
    body = {"before": day(world, 14)}
    gone = world.request(keeper(world), "POST", "/v1/gallery/purge", json=body).json()
    assert gone["days_dropped"] == 1
    assert world.request("tom", "GET", "/v1/gallery/stats").json()["sightings"] == 5
    lines = world.controller.stores.audit.lines()
    assert [line.actor for line in lines if line.action == "gallery_purged"] == [keeper(world)]


def test_days_inside_retention_go_only_with_a_reason(world: World) -> None:
    fill(world, 0, 5)
    fill(world, 3, 7)
    body = {"before": day(world, 1)}
    refused = world.request(keeper(world), "POST", "/v1/gallery/purge", json=body)
    assert error_of(refused) == (422, "reason")
    assert world.request("tom", "GET", "/v1/gallery/stats").json()["sightings"] == 12
    body["reason"] = "order of the court of 3 May"
    assert world.request(keeper(world), "POST", "/v1/gallery/purge", json=body).status_code == 200
    assert world.request("tom", "GET", "/v1/gallery/stats").json()["sightings"] == 5
    assert any("3 May" in line.detail for line in world.controller.stores.audit.lines())


def test_the_future_cannot_be_erased(world: World) -> None:
    body = {"before": day(world, -2), "reason": "all of it"}
    refused = world.request(keeper(world), "POST", "/v1/gallery/purge", json=body)
    assert error_of(refused) == (422, "before")


@pytest.mark.parametrize("action", ["verify", "rebuild", "purge"])
def test_only_an_administrator_may_handle_it(world: World, action: str) -> None:
    body = {"before": day(world, 14)} if action == "purge" else None
    for who, role in PEOPLE.items():
        answer = world.request(who, "POST", f"/v1/gallery/{action}", json=body)
        assert (answer.status_code == 200) == (role == "administrator"), (who, answer.text)
