"""Limits of the machine, and the registration of a fleet."""

import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import SimError
from sim.load.register import ROWS_AT_ONCE, fleet_rows, fleet_secret, place_m, register
from sim.load.room import check_files, is_loopback, port_range, source_addresses

PORTS = (32_768, 60_999)


def test_too_few_files_name_the_limit_and_the_mend() -> None:
    check_files(1_024, 1_024)
    with pytest.raises(SimError, match=r"RLIMIT_NOFILE.*1024.*ulimit -Hn.*--processes"):
        check_files(1_025, 1_024)


def test_a_city_fits_the_default_ports_and_ten_do_not() -> None:
    assert source_addresses(10_820, "127.0.0.1", ports=PORTS) == ()
    added = source_addresses(108_200, "127.0.0.1", ports=PORTS)
    assert added == ("127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.6")


def test_away_from_loopback_more_addresses_are_asked_for() -> None:
    with pytest.raises(SimError, match=r"32768-60999.*--source"):
        source_addresses(30_000, "broker.city.example", ports=PORTS)
    given = ("10.0.0.1", "10.0.0.2")
    assert source_addresses(30_000, "broker.city.example", given, PORTS) == given


def test_the_port_range_is_the_systems_or_the_default(tmp_path: Path) -> None:
    file = tmp_path / "range"
    file.write_text("1024\t65535\n")
    assert port_range(file) == (1_024, 65_535)
    assert port_range(tmp_path / "none") == PORTS


@pytest.mark.parametrize(
    ("host", "here"), [("127.0.0.1", True), ("localhost", True), ("::1", True), ("10.1.1.1", False),
                       ("broker", False)],
)  # fmt: skip
def test_loopback_is_known(host: str, here: bool) -> None:
    assert is_loopback(host) is here


def test_the_secret_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "secret"
    made = fleet_secret(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert fleet_secret(path) == made
    assert len(made) == 32


@given(st.integers(1, 200_000), st.integers(1, 200_000))
def test_no_two_boxes_stand_in_the_same_place(one: int, other: int) -> None:
    assert (place_m(one) == place_m(other)) == (one == other)


class Office:
    """Takes rows as the controller's API does."""

    def __init__(self) -> None:
        self.parts: list[int] = []

    def post(self, path: str, *, json: Any = None) -> Any:
        assert path == "/v1/fleet"
        self.parts.append(len(json))
        return {"added": len(json)}


def test_a_fleet_beyond_the_apis_limit_goes_in_parts() -> None:
    office = Office()
    rows: list[dict[str, object]] = [{}] * (ROWS_AT_ONCE + 5)
    assert register(office, rows) == ROWS_AT_ONCE + 5
    assert office.parts == [ROWS_AT_ONCE, 5]


def test_rows_are_what_the_controller_takes() -> None:
    from controller.services.fleet import _check_rows

    agents, faults = _check_rows(list(fleet_rows(b"s" * 32, 300, 20)), [])
    assert faults == []
    assert agents[0].agent_id == "light-300"
    assert len({agent.signing_public for agent in agents}) == 20
