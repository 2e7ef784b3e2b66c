"""Ingest over a real Mosquitto into a real chDB: each sighting once, each refusal with a reason."""

import sqlite3

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sim.broker import Broker
from tests.integration.ingest.boxes import Box, Station, wait_for
from wire import messages as m
from wire.ids import uuid7
from wire.signing import sign
from wire.topics import agent_topic, reply_topic


def ids_of(boxes: list[Box]) -> list[str]:
    return sorted(str(one) for box in boxes for one in box.sent_ids)


def test_batches_of_several_boxes_are_stored_once_and_acknowledged(
    broker: Broker, boxes: list[Box], station: Station
) -> None:
    for box in boxes:
        box.connect(broker.port)
        for _ in range(10):
            box.spool(box.batch())
    wait_for(lambda: not any(box.unacked for box in boxes))
    facts = station.facts()
    assert facts["ids"] == ids_of(boxes)
    assert facts["count"] == 3 * 10 * 4
    assert [box.acked() for box in boxes] == [10, 10, 10]


def test_a_duplicate_and_a_disorder_end_as_each_sighting_once(
    broker: Broker, boxes: list[Box], station: Station
) -> None:
    box = boxes[0]
    box.connect(broker.port, resending=False)
    first, second, third = (box.batch() for _ in range(3))
    for one in (third, first, first):
        box.spool(one)
    wait_for(lambda: box.acked() == 1)
    assert 3 in box.unacked
    for one in (second, third):
        box.spool(one)
    wait_for(lambda: box.acked() == 3)
    facts = station.facts()
    assert facts["ids"] == ids_of([box])
    assert facts["count"] == 12


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"camera_id": "cam-9"}, "camera_id"), ({"shard": 7}, "shard")],
)
def test_a_batch_of_another_camera_or_shard_is_refused_and_the_next_taken(
    broker: Broker, boxes: list[Box], station: Station, changes: dict[str, object], reason: str
) -> None:
    box = boxes[0]
    box.connect(broker.port)
    wrong, right = box.batch(**changes), box.batch()
    box.publish("sightings", sign(wrong, box.key))
    box.spool(right)
    wait_for(lambda: box.acked() == 2)
    facts = station.facts()
    assert facts["ids"] == ids_of([box])
    assert facts["refused"] == 1
    assert reasons(station)[0].startswith(reason)


def test_a_wrong_epoch_is_refused(broker: Broker, boxes: list[Box], station: Station) -> None:
    box = boxes[0]
    box.connect(broker.port)
    batch = box.batch()
    shifted = tuple(s.model_copy(update={"epoch": s.epoch - 1}) for s in batch.sightings)
    box.publish("sightings", sign(batch.model_copy(update={"sightings": shifted}), box.key))
    wait_for(lambda: station.facts()["refused"] == 1)
    assert station.facts()["count"] == 0
    assert reasons(station)[0].startswith("epoch")


def test_what_the_agent_did_not_sign_is_neither_stored_nor_acknowledged(
    broker: Broker, boxes: list[Box], station: Station
) -> None:
    box, other = boxes[0], boxes[1]
    box.connect(broker.port)
    forged = sign(box.batch(), Ed25519PrivateKey.generate())
    box.publish("sightings", forged)
    box.publish("sightings", sign(box.batch(agent_id=other.agent_id), box.key))
    box.publish_on(agent_topic(other.agent_id, "sightings"), sign(box.batch(), box.key))
    box.publish_on(agent_topic("box-unknown", "sightings"), sign(box.batch(), box.key))
    box.publish("sightings", b"no CBOR at all")
    wait_for(lambda: station.facts()["refused"] == 5)
    assert station.facts()["count"] == 0
    assert box.acks == []


def test_a_repeated_reply_is_acknowledged_again_on_its_own_stream(
    broker: Broker, boxes: list[Box], station: Station
) -> None:
    box = boxes[0]
    box.connect(broker.port)
    query_id = uuid7(unix_ms=1)
    reply = m.Reply(
        query_id=query_id, agent_id=box.agent_id, spool_id=box.spool_id, seq=1,
        status=m.ReplyStatus.OK,
    )  # fmt: skip
    for times in (1, 2):
        box.publish_on(reply_topic(box.agent_id, query_id.hex), sign(reply, box.key))
        wait_for(lambda times=times: len(box.acks) == times)
    assert {(a.stream, a.acked_seq) for a in box.acks} == {(m.Stream.REPLIES, 1)}


def test_after_the_cursors_are_lost_sending_all_again_changes_nothing(
    broker: Broker, boxes: list[Box], station: Station
) -> None:
    box = boxes[0]
    box.connect(broker.port)
    batches = [box.batch() for _ in range(5)]
    for one in batches:
        box.spool(one)
    wait_for(lambda: box.acked() == 5)
    station.stop()
    with sqlite3.connect(station.folder / "records.sqlite") as records:
        assert records.execute("DELETE FROM cursors").rowcount == 1
    station.start()
    box.acks.clear()
    for one in batches:
        box.spool(one)
    wait_for(lambda: box.acked() == 5)
    facts = station.facts()
    assert facts["ids"] == ids_of([box])
    assert facts["count"] == 20


def reasons(station: Station) -> list[str]:
    with sqlite3.connect(station.folder / "records.sqlite") as records:
        return [row[0] for row in records.execute("SELECT reason FROM quarantine")]
