"""A light agent publishes each sighting until it is acknowledged, and answers only its master."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sim.light.agent import LightAgent
from tests.unit.sim.light.worlds import NOW_US, FakeController, make_agent, sent
from wire import messages as m
from wire.signing import sign, verify
from wire.topics import agent_topic


def ask(agent: LightAgent, data: bytes) -> m.Reply:
    agent.receive(agent_topic(agent.identity.agent_id, "queries"), data, NOW_US)
    (payload,) = sent(agent, 1.0, "replies")
    return verify(m.Reply, payload, agent.identity.signing.public_key())


def test_publishes_nothing_before_its_key_has_come() -> None:
    agent = make_agent(FakeController(), keyed=False)
    assert sent(agent, 1.0, "sightings") == []


def test_publishes_every_passage_once_in_numbered_batches() -> None:
    controller = FakeController()
    agent = make_agent(controller, batch_size=8)
    batches = [controller.take(agent.identity, p) for p in sent(agent, 1.0, "sightings")]
    assert [batch.seq for batch in batches] == list(range(1, len(batches) + 1))
    assert set(controller.received) == set(agent.produced)
    assert len(agent.produced) == agent.total >= 20
    assert {batch.shard for batch in batches} == {controller.shard}


def test_an_unacknowledged_batch_is_sent_again_and_an_acknowledged_one_is_not() -> None:
    controller = FakeController()
    agent = make_agent(controller, batch_size=8)
    first = [controller.take(agent.identity, p) for p in sent(agent, 1.0, "sightings")]
    assert sent(agent, 2.0, "sightings") == []
    ack = controller.ack(first[0], m.Stream.SIGHTINGS, 1)
    agent.receive(agent_topic(agent.identity.agent_id, "acks"), ack, NOW_US)
    again = [controller.take(agent.identity, p) for p in sent(agent, 20.0, "sightings")]
    assert [batch.seq for batch in again] == [batch.seq for batch in first[1:]]
    assert agent.acked == len(first[0].sightings)


def test_everything_unacknowledged_is_due_again_after_a_reconnect() -> None:
    agent = make_agent(FakeController())
    count = len(sent(agent, 1.0, "sightings"))
    agent.birth(NOW_US)
    assert len(sent(agent, 1.5, "sightings")) == count


def test_an_ack_of_a_stranger_or_of_another_spool_changes_nothing() -> None:
    controller, stranger = FakeController(), FakeController()
    agent = make_agent(controller)
    batch = controller.take(agent.identity, sent(agent, 1.0, "sightings")[0])
    topic = agent_topic(agent.identity.agent_id, "acks")
    agent.receive(topic, stranger.ack(batch, m.Stream.SIGHTINGS, 1), NOW_US)
    other_spool = batch.model_copy(update={"spool_id": agent.produced[0]})
    agent.receive(topic, controller.ack(other_spool, m.Stream.SIGHTINGS, 1), NOW_US)
    assert agent.acked == 0


def test_a_restarted_agent_names_the_same_passages_alike() -> None:
    controller = FakeController()
    runs = [make_agent(controller) for _ in range(2)]
    for agent in runs:
        sent(agent, 1.0, "sightings")
    assert runs[0].produced == runs[1].produced


def test_a_lookback_for_somebody_else_finds_nobody() -> None:
    controller = FakeController()
    agent = make_agent(controller)
    sent(agent, 1.0, "sightings")
    reply = ask(agent, sign(controller.query(agent.identity), controller.signing))
    assert reply.status is m.ReplyStatus.OK
    assert controller.open(reply).tracklets == ()


def test_a_lookback_by_sighting_id_reveals_that_sighting_only() -> None:
    controller = FakeController()
    agent = make_agent(controller)
    sent(agent, 1.0, "sightings")
    secrets = m.QuerySecrets(space_id="space-1", sighting_ids=(agent.produced[4],))
    query = controller.query(agent.identity, secrets=secrets)
    body = controller.open(ask(agent, sign(query, controller.signing)))
    assert [report.tracklet_id for report in body.tracklets] == [agent.produced[4]]


def test_refuses_what_it_must_refuse_with_the_reason() -> None:
    controller = FakeController()
    agent = make_agent(controller)
    good = controller.query(agent.identity)
    elsewhere = m.Scope(camera_id="cam-x", start_us=0, end_us=1)
    cases = {
        "signature": sign(good, Ed25519PrivateKey.generate()),
        "agent": sign(controller.query(agent.identity, agent_id="light-999"), controller.signing),
        "expired": sign(
            controller.query(agent.identity, expires_us=NOW_US - 1), controller.signing
        ),
        "scope": sign(controller.query(agent.identity, scope=elsewhere), controller.signing),
        "unsupported_kind": sign(
            controller.query(agent.identity, kind=m.QueryKind.UNKNOWN), controller.signing
        ),
    }
    for reason, data in cases.items():
        agent_under_test = make_agent(controller)
        reply = ask(agent_under_test, data)
        assert (reply.status, reply.reason, reply.body) == (m.ReplyStatus.REFUSED, reason, b"")


def test_refuses_the_same_query_twice() -> None:
    controller = FakeController()
    agent = make_agent(controller)
    data = sign(controller.query(agent.identity), controller.signing)
    reply = ask(agent, data)
    ack = controller.ack(reply, m.Stream.REPLIES, reply.seq)
    agent.receive(agent_topic(agent.identity.agent_id, "acks"), ack, NOW_US)
    assert ask(agent, data).reason == "replay"
