"""Limits of a light agent's spool, and where its strangers come from."""

from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from sim.errors import SimError
from sim.light.identity import create_fleet_secret, read_fleet_secret
from sim.light.spool import Spool, SpoolFull
from sim.light.strangers import day_of_passages, load_cohort
from tests.unit.sim.light.worlds import COHORT, DAY


def test_never_more_than_the_window_is_under_way() -> None:
    spool = Spool(UUID(int=1), window=3)
    for number in range(10):
        spool.append("t", bytes([number]))
    assert [payload for _, payload in spool.take_due(0.0)] == [b"\x00", b"\x01", b"\x02"]
    spool.acknowledge(2)
    assert [payload for _, payload in spool.take_due(0.0)] == [b"\x03", b"\x04"]


def test_a_retry_waits_twice_as_long_each_time() -> None:
    spool = Spool(UUID(int=1))
    spool.append("t", b"x")
    sent_at = [now for now in range(0, 120) if spool.take_due(float(now))]
    assert sent_at == [0, 15, 45, 105]


def test_a_full_spool_says_so_and_keeps_what_it_has() -> None:
    spool = Spool(UUID(int=1), limit=2)
    spool.append("t", b"a")
    spool.append("t", b"b")
    with pytest.raises(SpoolFull, match="2 payloads"):
        spool.append("t", b"c")
    assert len(spool) == 2


def test_strangers_are_unit_vectors_in_time_order_inside_the_day() -> None:
    passages = day_of_passages(COHORT, np.random.default_rng(1), DAY)
    norms = [float(np.linalg.norm(passage.embedding)) for passage in passages]
    assert norms == pytest.approx([1.0] * len(passages), abs=1e-5)
    starts = [passage.start_us for passage in passages]
    assert starts == sorted(starts)
    assert 20 <= len(passages) <= 60


def test_a_cohort_that_is_no_cohort_is_refused_by_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", other=np.zeros(3))
    with pytest.raises(SimError, match="cohort_mean"):
        load_cohort(tmp_path / "a.npz")


def test_the_fleet_secret_is_private_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    secret = create_fleet_secret(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_fleet_secret(path) == secret
    with pytest.raises(FileExistsError):
        create_fleet_secret(path)
