"""A load box is a box: it signs, waits for keys and acknowledgements, and sends again."""

import numpy as np
import pytest

from sim.light.identity import LightIdentity
from sim.load.box import Box, Kit, Sample
from sim.load.people import People
from sim.load.spool import LIMIT, RESEND_AFTER_S, WINDOW, BatchSpool
from sim.load.tally import Latencies, Tally
from tests.unit.sim.light.worlds import COHORT, NOW_US, FakeController
from wire import messages as m
from wire.ids import uuid7
from wire.protection import dequantise, rotation, template_from_bytes
from wire.signing import verify
from wire.times import epoch_of_us
from wire.topics import agent_topic

PEOPLE = People(COHORT, np.random.default_rng(1), 20)


def make_box(
    controller: FakeController, *, keyed: bool = True, checked_share: float = 1.0
) -> tuple[Box, Kit]:
    kit = Kit(controller.settings(), PEOPLE, Tally(), Latencies(), Sample(), checked_share)
    box = Box(LightIdentity.derive(b"s" * 32, 1), kit, NOW_US)
    if keyed:
        keys = controller.keys_for(box.identity, epoch_of_us(NOW_US))
        box.receive(agent_topic(box.agent_id, "keys"), keys, 0.0, NOW_US)
    return box, kit


def pass_by(box: Box, count: int) -> None:
    for walker in range(count):
        assert box.arrive(walker % len(PEOPLE), NOW_US + walker)


def acknowledge(controller: FakeController, box: Box, batch: m.SightingBatch, now_s: float) -> None:
    ack = controller.ack(batch, m.Stream.SIGHTINGS, batch.seq)
    box.receive(agent_topic(box.agent_id, "acks"), ack, now_s, NOW_US)


def test_a_batch_is_signed_numbered_and_kept_until_it_is_acknowledged() -> None:
    controller = FakeController()
    box, kit = make_box(controller)
    pass_by(box, 3)
    box.seal(box.take_waiting(), NOW_US)
    ((message, entry),) = box.due(10.0)
    assert entry is not None
    entry.sent_s = 10.0
    batch = controller.take(box.identity, message.payload)
    assert (batch.seq, batch.shard, len(batch.sightings)) == (1, controller.shard, 3)
    assert len(box.spool) == 1
    acknowledge(controller, box, batch, 10.5)
    assert len(box.spool) == 0
    assert kit.tally.acked == 3
    assert kit.latencies.longest_s == pytest.approx(0.5)


def test_only_batches_published_while_it_is_measured_have_a_latency() -> None:
    controller = FakeController()
    box, kit = make_box(controller)
    kit.measured_from_s, kit.measured_until_s = 20.0, 30.0
    for sent_s in (10.0, 25.0, 31.0):
        pass_by(box, 2)
        box.seal(box.take_waiting(), NOW_US)
        message, entry = box.due(sent_s)[-1]
        assert entry is not None
        entry.sent_s = sent_s
        acknowledge(controller, box, controller.take(box.identity, message.payload), sent_s + 0.5)
    assert (kit.tally.acked, kit.latencies.total) == (6, 2)


def test_templates_are_the_pools_under_the_delivered_key() -> None:
    controller = FakeController()
    box, _ = make_box(controller)
    pass_by(box, 5)
    rotated = dequantise(
        np.stack([template_from_bytes(box.sighting(s).template) for s in box.waiting])
    )
    cosines = (rotated @ rotation(controller.shard_key) * PEOPLE._embeddings[:5]).sum(axis=1)
    assert cosines.min() > 0.99


def test_without_a_key_nothing_is_sealed_and_beyond_64_nobody_is_taken() -> None:
    box, kit = make_box(FakeController(), keyed=False)
    pass_by(box, 64)
    assert not box.can_seal(box.waiting)
    assert not box.arrive(0, NOW_US)
    assert (kit.tally.made, kit.tally.held_back) == (64, 1)


def test_sightings_in_the_same_moment_have_different_ids_and_a_copy_the_same() -> None:
    controller = FakeController()
    box, kit = make_box(controller)
    for _ in range(10):
        box.arrive(4, NOW_US)
    seen = box.take_waiting()
    box.seal(seen, NOW_US)
    box.seal(seen, NOW_US, copy=True)
    first, second = (controller.take(box.identity, o.payload) for o, _ in box.due(0.0))
    assert len({one.id for one in first.sightings}) == 10
    assert [s.id for s in first.sightings] == [s.id for s in second.sightings]
    acknowledge(controller, box, second, 1.0)
    assert kit.tally.acked == 10


def test_an_ack_signed_by_somebody_else_is_dropped() -> None:
    controller, stranger = FakeController(), FakeController()
    box, kit = make_box(controller)
    pass_by(box, 1)
    box.seal(box.take_waiting(), NOW_US)
    batch = verify(m.SightingBatch, box.due(0.0)[0][0].payload, box.identity.signing.public_key())
    acknowledge(stranger, box, batch, 1.0)
    assert (len(box.spool), kit.tally.dropped_messages) == (1, 1)


def test_a_share_of_the_acks_is_checked() -> None:
    sample = Sample()
    checked = sum(sample() < 0.25 for _ in range(1_000))
    assert checked == pytest.approx(250, abs=5)


def test_a_query_is_answered_with_no_tracklets_and_kept_until_acknowledged() -> None:
    controller = FakeController()
    box, _ = make_box(controller)
    query = controller.query(box.identity)
    from wire.signing import sign

    box.receive(agent_topic(box.agent_id, "queries"), sign(query, controller.signing), 0.0, NOW_US)
    ((message, entry),) = box.due(0.0)
    assert entry is None
    reply = verify(m.Reply, message.payload, box.identity.signing.public_key())
    assert reply.status is m.ReplyStatus.OK
    assert controller.open(reply).tracklets == ()
    ack = controller.ack(reply, m.Stream.REPLIES, reply.seq)
    box.receive(agent_topic(box.agent_id, "acks"), ack, 1.0, NOW_US)
    box.birth(NOW_US)
    assert box.due(100.0) == []


def test_birth_and_will_carry_the_same_growing_number() -> None:
    box, _ = make_box(FakeController())
    key = box.identity.signing.public_key()
    numbers = []
    for _ in range(2):
        will = verify(m.AgentState, box.next_will(NOW_US).payload, key)
        birth = verify(m.AgentState, box.birth(NOW_US).payload, key)
        assert (will.online, birth.online) == (False, True)
        assert will.bd_seq == birth.bd_seq
        numbers.append(birth.bd_seq)
    assert numbers[1] > numbers[0]


def filled(count: int) -> BatchSpool:
    spool = BatchSpool(uuid7(unix_ms=1))
    for _ in range(count):
        spool.append(b"payload", 1)
    return spool


def test_only_a_window_is_under_way_and_an_ack_moves_it() -> None:
    spool = filled(WINDOW + 10)
    assert [one.seq for one in spool.take_due(0.0)] == list(range(1, WINDOW + 1))
    assert spool.take_due(0.1) == []
    assert len(spool.acknowledge(4, 0.2)) == 4
    assert [one.seq for one in spool.take_due(0.3)] == list(range(WINDOW + 1, WINDOW + 5))


def test_what_is_not_acknowledged_is_due_again_after_a_while_and_after_a_reconnect() -> None:
    spool = filled(3)
    assert len(spool.take_due(0.0)) == 3
    assert spool.take_due(RESEND_AFTER_S) == []
    assert len(spool.take_due(RESEND_AFTER_S + 0.1)) == 3
    spool.rewind()
    assert len(spool.take_due(RESEND_AFTER_S + 0.2)) == 3


def test_a_number_that_was_never_used_acknowledges_nothing() -> None:
    spool = filled(3)
    assert spool.acknowledge(4, 0.0) == []
    assert len(spool) == 3


def test_a_full_spool_says_so() -> None:
    assert filled(LIMIT).full
    assert not filled(LIMIT - 1).full
