"""The broker that demo and tests use: on loopback only, restartable, and one line when missing."""

import socket
from pathlib import Path

import pytest

from sim import broker as broker_module
from sim.broker import Broker, BrokerMissing, running_broker


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True


def test_a_killed_broker_comes_back_on_its_port(tmp_path: Path) -> None:
    with running_broker(tmp_path) as broker:
        port = broker.port
        broker.kill()
        assert not accepts(port)
        broker.start()
        assert broker.port == port
        assert accepts(port)
    assert not accepts(port)


def test_two_brokers_live_side_by_side(tmp_path: Path) -> None:
    with running_broker(tmp_path / "a") as one, running_broker(tmp_path / "b") as two:
        assert one.port != two.port


def test_without_mosquitto_one_line_names_the_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(broker_module, "_PLACES", ())
    with pytest.raises(BrokerMissing, match="install mosquitto") as caught:
        Broker(tmp_path).start()
    assert "\n" not in str(caught.value)
