"""The key service: deliveries, rotations for an active case only, destruction."""

from dataclasses import replace
from uuid import UUID

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from controller.adapters.vault import Vault
from controller.services.keys import KeyService
from controller.services.refusals import NotAllowed, NotFound
from controller.services.values import Agent, Case, CaseScope, LegalBasis
from wire.protection import dequantise, protect
from wire.sealing import open_sealed
from wire.times import EPOCH_US

TODAY = 20_000
CASE, OTHER = UUID(int=1), UUID(int=2)


class Keys:
    """Wrapped epoch keys in memory."""

    def __init__(self) -> None:
        self.held: dict[int, bytes] = {}
        self.asked = 0

    def epoch_keys(self) -> dict[int, bytes]:
        self.asked += 1
        return dict(self.held)

    def add_epoch_key(self, epoch: int, wrapped: bytes, now_us: int) -> None:
        self.held.setdefault(epoch, wrapped)

    def drop_epoch_key(self, epoch: int) -> None:
        self.held.pop(epoch, None)


class Guard:
    """Lets work on the cases that are named active."""

    def __init__(self) -> None:
        self.active = {CASE, OTHER}

    def require_active(self, case_id: UUID) -> Case:
        if case_id not in self.active:
            raise NotAllowed("state", "not approved")
        return Case(
            case_id, "x", LegalBasis.EXERCISE, None, None, CaseScope(0, 1), 1, "a", 0, b"", b"", b""
        )

    def case_key(self, case: Case) -> bytes:
        return case.case_id.bytes * 2


class Bench:
    """A key service with its fakes."""

    def __init__(self) -> None:
        self.store, self.guard, self.now_us = Keys(), Guard(), TODAY * EPOCH_US
        self.service = KeyService(self.store, Vault(bytes(32)), self.guard, lambda: self.now_us)
        self.service.ensure_epochs()


@pytest.fixture
def bench() -> Bench:
    return Bench()


def faces(count: int) -> np.ndarray:
    vectors = np.random.default_rng(3).standard_normal((count, 192))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def test_a_whole_fleets_deliveries_look_at_the_epochs_only_once(bench: Bench) -> None:
    device = X25519PrivateKey.generate().public_key().public_bytes_raw()
    fleet = [Agent(f"a{n}", f"c{n}", bytes(32), device, 0, 0, shard=n) for n in range(20)]
    found = list(bench.service.deliveries(fleet))
    assert [one.agent_id for one in found] == [one.agent_id for one in fleet]
    assert all(len(one.keys) == 5 for one in found)
    # Once for the epochs, once for each key that is unwrapped for the first time.
    assert bench.store.asked <= 2 + 5


def test_keys_exist_from_yesterday_to_three_days_ahead_and_stay_the_same(bench: Bench) -> None:
    before = dict(bench.store.held)
    assert sorted(before) == [TODAY - 1, TODAY, TODAY + 1, TODAY + 2, TODAY + 3]
    bench.service.ensure_epochs()
    assert bench.store.held == before


def test_a_delivery_opens_only_with_the_device_and_makes_comparable_templates(
    bench: Bench,
) -> None:
    device = X25519PrivateKey.generate()
    agent = Agent("a", "c", bytes(32), device.public_key().public_bytes_raw(), 0, 0, shard=3)
    delivery = bench.service.delivery_for(agent)
    entry = next(one for one in delivery.keys if one.epoch == TODAY)
    key = open_sealed(entry.sealed, device, associated=f"a|{TODAY}|3".encode())
    face = faces(1)
    rotated = bench.service.rotate_probe(CASE, face, epoch=TODAY, shard=3)
    assert float(dequantise(rotated)[0] @ dequantise(protect(face, key))[0]) > 0.999


def test_probes_are_rotated_for_an_active_case_only(bench: Bench) -> None:
    bench.guard.active.remove(CASE)
    with pytest.raises(NotAllowed):
        bench.service.rotate_probe(CASE, faces(1), epoch=TODAY, shard=0)
    with pytest.raises(NotAllowed):
        bench.service.to_case_frame(CASE, np.zeros((1, 192), np.int8), epoch=TODAY, shard=0)


def test_days_and_shards_compare_inside_one_case_and_not_across_cases(bench: Bench) -> None:
    face = faces(1)
    days = [(TODAY, 0), (TODAY + 1, 5)]
    framed = [
        bench.service.to_case_frame(
            CASE, bench.service.rotate_probe(CASE, face, epoch=e, shard=s), epoch=e, shard=s
        )[0]
        for e, s in days
    ]
    assert float(framed[0] @ framed[1]) > 0.999
    template = bench.service.rotate_probe(CASE, face, epoch=TODAY, shard=0)
    elsewhere = bench.service.to_case_frame(OTHER, template, epoch=TODAY, shard=0)[0]
    assert abs(float(framed[0] @ elsewhere)) < 0.4
    assert abs(float(framed[0] @ face[0])) < 0.4


def test_a_destroyed_day_is_past(bench: Bench) -> None:
    bench.service.rotate_probe(CASE, faces(1), epoch=TODAY - 1, shard=0)
    assert bench.service.destroy_before(TODAY) == [TODAY - 1]
    with pytest.raises(NotFound, match="past retention"):
        bench.service.rotate_probe(CASE, faces(1), epoch=TODAY - 1, shard=0)
    assert TODAY - 1 not in bench.service.known_epochs()


def test_an_agent_of_another_shard_gets_another_key(bench: Bench) -> None:
    device = X25519PrivateKey.generate()
    agent = Agent("a", "c", bytes(32), device.public_key().public_bytes_raw(), 0, 0, shard=0)
    opened = []
    for one in (agent, replace(agent, shard=1)):
        entry = bench.service.delivery_for(one).keys[0]
        label = f"a|{entry.epoch}|{one.shard}".encode()
        opened.append(open_sealed(entry.sealed, device, associated=label))
    assert opened[0] != opened[1]
