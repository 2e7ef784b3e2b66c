"""Load connections on a real Mosquitto: wills, births, sending again, keepalive, TLS, logins."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sim.broker import Broker, running_broker
from sim.load.packets import Login
from sim.load.transport import TlsRefused
from tests.integration.sim.desk import Desk
from tests.integration.sim.street import Authority, TlsBroker, make_street, now_us, wait_until
from tests.unit.sim.light.worlds import FakeController
from wire.times import epoch_of_us


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with running_broker(tmp_path / "broker") as running:
        yield running


def test_births_wills_and_deaths_are_published_and_the_spool_comes_again(broker: Broker) -> None:
    controller = FakeController()
    street = make_street(controller, broker.port, 3)
    first = street.connections[0]
    desk = Desk(controller, [one.box.identity for one in street.connections])
    desk.start(broker.port)
    desk.deliver_keys(epoch_of_us(now_us()))
    street.until(lambda: street.all_up() and all(c.box.keyed for c in street.connections))
    first.box.arrive(0, now_us())
    first.box.seal(first.box.take_waiting(), now_us())
    street.until(lambda: street.kit.tally.published == 1)
    first.drop()
    # The will comes after the batch: that was taken without a word, only the next is answered.
    wait_until(lambda: desk.states[first.box.agent_id] == [True, False])
    desk.acking.set()
    street.until(lambda: street.kit.tally.acked == 1)
    assert street.kit.tally.resent == 1
    for connection in street.connections:
        connection.close()
    street.until(lambda: all(connection.gone for connection in street.connections))
    wait_until(lambda: all(seen[-1] is False for seen in desk.states.values()))
    desk.stop()
    assert desk.states[first.box.agent_id] == [True, False, True, False]
    assert desk.states[street.connections[1].box.agent_id] == [True, False]


def test_an_idle_connection_is_kept_alive_and_a_dead_broker_is_come_back_to(
    broker: Broker,
) -> None:
    street = make_street(FakeController(), broker.port, 5)
    street.until(street.all_up)
    idle_until_s = time.monotonic() + 5.0
    street.until(lambda: time.monotonic() > idle_until_s)
    assert street.all_up()
    assert street.kit.tally.lost_connections == 0
    broker.kill()
    street.until(lambda: not any(connection.up for connection in street.connections))
    broker.start()
    street.until(street.all_up)
    assert street.kit.tally.lost_connections == street.kit.tally.reconnects == 5


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[tuple[Broker, Authority]]:
    authority = Authority(tmp_path / "ca")
    broker = TlsBroker(tmp_path / "secure", authority)
    broker.start()
    yield broker, authority
    broker.stop()


def test_over_tls_the_broker_is_verified(secure: tuple[Broker, Authority], tmp_path: Path) -> None:
    broker, authority = secure
    street = make_street(FakeController(), broker.port, 5, authority.client_context())
    street.until(street.all_up)
    stranger = Authority(tmp_path / "stranger")
    other = make_street(FakeController(), broker.port, 1, stranger.client_context())
    with pytest.raises(TlsRefused, match="--ca-file"):
        other.until(other.all_up)


def test_each_box_logs_in_under_its_own_name(secure: tuple[Broker, Authority]) -> None:
    broker, authority = secure
    tls = authority.client_context()
    right = make_street(FakeController(), broker.port, 1, tls, Login("{agent}", b"secret"))
    right.until(right.all_up)
    wrong = make_street(FakeController(), broker.port, 1, tls, Login("{agent}", b"guess"))
    wrong.until(lambda: wrong.kit.tally.refused_connects == 2)
    assert not wrong.all_up()
