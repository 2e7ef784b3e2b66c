"""Refused messages as people handle them: over the API and with `sightline quarantine`."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner, Result

from controller import quarantine_cli
from controller.cli import app
from controller.client import ApiClient
from controller.services.ports import Delivery
from tests.integration.controller.world import NOW, World, error_of
from tests.integration.ingest.boxes import wait_for
from wire import messages as m
from wire.ids import uuid7
from wire.signing import sign
from wire.times import epoch_of_us, to_us
from wire.topics import agent_topic

Sightline = Callable[..., Result]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "data")
    made.controller.ingest.start()
    yield made
    made.controller.ingest.stop()
    made.close()


@pytest.fixture
def sightline(world: World, monkeypatch: pytest.MonkeyPatch) -> Sightline:
    """The command line of the technician, over this controller's API."""
    headers = {"Authorization": f"Bearer {world.tokens['tom']}"}
    client = TestClient(world.controller.app, headers=headers)
    monkeypatch.setattr(quarantine_cli, "ApiClient", lambda: ApiClient(client))
    return lambda *words: CliRunner().invoke(app, ["quarantine", *words])


def publish(world: World, seq: int, **changes: object) -> None:
    """Let the first box publish a batch of one sighting, and wait until it is dealt with."""
    device, start_us = world.devices[0], to_us(NOW - timedelta(hours=1))
    sighting = m.Sighting(
        id=uuid7(unix_ms=start_us // 1_000 + seq), epoch=epoch_of_us(start_us), start_us=start_us,
        end_us=start_us + 1, time_uncertainty_s=0.1, template=bytes([seq]) * 192,
        mask_state=m.MaskState.MASKED, mask_probability=0.9, quality=0.9, face_count=9,
    )  # fmt: skip
    fields = {
        "agent_id": device.agent_id, "spool_id": uuid7(unix_ms=1, random_bytes=bytes(10)),
        "seq": seq, "sent_us": to_us(NOW), "camera_id": device.camera_id, "shard": 0,
        "space_id": "mfn192-arc5-w2", "variant": "float", "sightings": (sighting,),
    }  # fmt: skip
    done: list[int] = []
    topic = agent_topic(device.agent_id, "sightings")
    payload = sign(m.SightingBatch(**(fields | changes)), device.signing)
    world.controller.ingest.deliver(Delivery(topic, payload, lambda: done.append(1)))
    wait_for(lambda: done == [1])


def stored(world: World) -> int:
    return int(world.request("tom", "GET", "/v1/stats").json()["gallery_sightings"])


def test_a_batch_of_a_space_that_is_known_later_is_replayed_and_stored_once(
    world: World, sightline: Sightline, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seq in (1, 2):
        publish(world, seq, space_id="newer-space")
    publish(world, 3)
    assert stored(world) == 1
    assert "space_id: 2" in sightline("list").stdout
    still = sightline("replay", "--reason", "space_id")
    assert still.exit_code == 1
    assert "refused: space_id" in still.stdout
    # What an update of sightline does: the packaged calibrations know the space.
    checker = world.controller.ingest._parts.checker
    monkeypatch.setattr(checker, "_spaces", frozenset({"newer-space"}))
    done = sightline("replay", "--reason", "space_id")
    assert done.exit_code == 0, done.output
    assert done.stdout.split() == ["1:", "taken", "2:", "taken"]
    assert stored(world) == 3
    assert json.loads(sightline("list", "--json").stdout) == {"kept": {}, "messages": []}
    actions = [one["action"] for one in audit(world)]
    assert actions.count("quarantine.replayed") == 2


def test_a_message_is_shown_without_its_template_and_discarded(
    world: World, sightline: Sightline
) -> None:
    publish(world, 1, camera_id="cam-9")
    shown = json.loads(sightline("show", "1", "--json").stdout)
    assert shown["reason"].startswith("camera_id: ")
    assert (shown["batch"]["camera_id"], shown["batch"]["trusted"]) == ("cam-9", True)
    assert "template" not in json.dumps(shown)
    assert sightline("discard", "1").stdout == "1 messages discarded\n"
    assert "position: 1 is not in quarantine" in sightline("show", "1").output
    assert audit(world)[-1]["action"] == "quarantine.discarded"


def test_numbers_or_a_reason_must_be_given(sightline: Sightline) -> None:
    for words in (("replay",), ("discard", "1", "--reason", "shard")):
        assert "give either numbers or --reason" in sightline(*words).output


@pytest.mark.parametrize("who", ["ivy", "noor", "max"])
def test_quarantine_is_for_technicians_and_administrators(world: World, who: str) -> None:
    assert error_of(world.request(who, "GET", "/v1/quarantine")) == (403, "role")
    body = {"positions": [1]}
    for verb in ("replay", "discard"):
        answer = world.request(who, "POST", f"/v1/quarantine/{verb}", json=body)
        assert error_of(answer) == (403, "role")


def test_refusals_and_what_is_kept_are_counted_by_reason(world: World) -> None:
    publish(world, 1, shard=9)
    publish(world, 2, shard=9)
    world.request("tom", "POST", "/v1/quarantine/discard", json={"positions": [1]})
    text = world.http.get("/metrics").text
    assert 'sightline_controller_ingest_refused_total{reason="shard"} 2.0' in text
    assert 'sightline_controller_ingest_refused_total{reason="signature"} 0.0' in text
    assert 'sightline_controller_quarantine_messages{reason="shard"} 1.0' in text


def audit(world: World) -> list[dict[str, str]]:
    return list(world.request("max", "GET", "/v1/audit").json()["lines"])
