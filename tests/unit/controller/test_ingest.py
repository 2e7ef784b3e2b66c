"""Ingest: verify, insert, cursor, acknowledge, in that order, whatever comes in whatever order."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from controller.services.clock_offsets import ClockOffsets
from controller.services.ingest import Ingest, IngestParts
from controller.services.ingest_batches import Handed, pack_batch
from controller.services.ingest_checks import Checker
from controller.services.ingest_ports import NoMeter, Quarantined
from controller.services.ingest_queue import Waiting
from controller.services.ports import AgentFacts, Cursor, Delivery, GalleryRow
from wire import messages as m
from wire.ids import uuid7
from wire.signing import sign, verify
from wire.times import epoch_of_us
from wire.topics import agent_topic

NOW = 1_800_000_000_000_000
AGENT_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
CONTROLLER = Ed25519PrivateKey.from_private_bytes(bytes(32))
SPOOL = UUID(int=77)
TOPIC = agent_topic("box-1", "sightings")


@dataclass
class World:
    """Hand-written stand-ins for everything around ingest; all in memory, in the order told."""

    rows: dict[UUID, GalleryRow] = field(default_factory=dict)
    stored: dict[tuple[str, str, UUID], int] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    acks: list[int] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    disk_full: bool = False
    quarantine_full: bool = False

    def now_us(self) -> int:
        return NOW

    def facts(self, agent_id: str) -> AgentFacts | None:
        known = AgentFacts("box-1", "cam-1", 3, AGENT_KEY.public_key().public_bytes_raw(), b"")
        return known if agent_id == "box-1" else None

    def insert(self, rows: Sequence[GalleryRow]) -> None:
        if self.disk_full:
            raise OSError("disk full")
        self.rows.update({r.id: r for r in rows})
        self.steps.append("insert")

    def cursor(self, agent_id: str, stream: str, spool_id: UUID) -> int:
        return self.stored.get((agent_id, stream, spool_id), 0)

    def some(self, limit: int) -> list[Cursor]:
        return []

    def advance(self, cursors: Sequence[Cursor]) -> None:
        for c in cursors:
            self.stored[c.agent_id, c.stream, c.spool_id] = c.acked_seq
        if cursors:
            self.steps.append("cursor")

    def add(self, messages: Sequence[Quarantined]) -> list[bool]:
        self.refused += [one.reason for one in messages]
        return [not self.quarantine_full] * len(messages)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        self.acks.append(verify(m.Ack, payload, CONTROLLER.public_key()).acked_seq)
        self.steps.append("ack")


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def ingest(world: World) -> Iterator[Ingest]:
    service = Ingest(
        IngestParts(
            checker=Checker(world, world, spaces={"space"}, retention_days=14), gallery=world,
            cursors=world, quarantine=world, replies=None, fleet=None, publisher=world,
            signing=CONTROLLER, clock=world, offsets=ClockOffsets(), meter=NoMeter(),
        )
    )  # fmt: skip
    service.start()
    yield service
    service.stop()


def batch(seq: int, number: int | None = None, **changes: object) -> m.SightingBatch:
    start = NOW - 3_600_000_000
    sighting = m.Sighting(
        id=uuid7(unix_ms=number or seq, random_bytes=bytes(10)), epoch=epoch_of_us(start),
        start_us=start, end_us=start + 1, time_uncertainty_s=0.5, template=bytes(192),
        mask_state=m.MaskState.MASKED, mask_probability=0.9, quality=0.5, face_count=2,
    )  # fmt: skip
    fields = {
        "agent_id": "box-1", "spool_id": SPOOL, "seq": seq, "sent_us": NOW, "camera_id": "cam-1",
        "shard": 3, "space_id": "space", "variant": "float", "sightings": (sighting,),
    }  # fmt: skip
    return m.SightingBatch(**(fields | changes))


def send(
    ingest: Ingest, world: World, *batches: m.SightingBatch, key: Ed25519PrivateKey = AGENT_KEY,
    topic: str = TOPIC,
) -> None:  # fmt: skip
    settled: list[int] = []
    for one in batches:
        settle = lambda: (settled.append(1), world.steps.append("puback"))  # noqa: E731
        ingest.deliver(Delivery(topic, sign(one, key), settle))
    wait_for(lambda: len(settled) == len(batches))
    time.sleep(0.05)


def wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_order_is_insert_cursor_puback_ack(ingest: Ingest, world: World) -> None:
    send(ingest, world, batch(1))
    assert world.steps == ["insert", "cursor", "puback", "ack"]
    assert world.acks == [1]


def test_a_gap_holds_the_acknowledgement_back_until_it_is_filled(
    ingest: Ingest, world: World
) -> None:
    send(ingest, world, batch(1), batch(3))
    assert world.acks[-1] == 1
    send(ingest, world, batch(2))
    assert world.acks[-1] == 3
    assert len(world.rows) == 3


def test_what_comes_again_is_acknowledged_again_and_stored_once(
    ingest: Ingest, world: World
) -> None:
    send(ingest, world, batch(1))
    send(ingest, world, batch(1))
    assert world.acks == [1, 1]
    assert len(world.rows) == 1


def test_a_full_disk_acknowledges_nothing_until_it_has_room(ingest: Ingest, world: World) -> None:
    world.disk_full = True
    settled: list[int] = []
    ingest.deliver(Delivery(TOPIC, sign(batch(1), AGENT_KEY), lambda: settled.append(1)))
    wait_for(lambda: ingest.counters.failures_total > 0)
    assert not settled
    assert world.acks == []
    world.disk_full = False
    wait_for(lambda: world.acks == [1])
    assert len(world.rows) == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"camera_id": "cam-9"}, "camera_id"),
        ({"shard": 9}, "shard"),
        ({"space_id": "x"}, "space_id"),
    ],
)
def test_an_invalid_batch_is_quarantined_and_does_not_hold_up_the_next(
    ingest: Ingest, world: World, changes: dict[str, object], reason: str
) -> None:
    send(ingest, world, batch(1, **changes), batch(2))
    assert world.refused[0].startswith(reason)
    assert world.acks[-1] == 2
    assert len(world.rows) == 1


def test_a_wrong_signature_is_refused_without_an_acknowledgement(
    ingest: Ingest, world: World
) -> None:
    send(ingest, world, batch(1), key=Ed25519PrivateKey.generate())
    assert "signature" in world.refused[0]
    assert world.acks == []
    assert world.rows == {}


def test_an_agent_cannot_publish_as_another(ingest: Ingest, world: World) -> None:
    send(ingest, world, batch(1, agent_id="box-2"))
    send(ingest, world, batch(1), topic=agent_topic("box-9", "sightings"))
    assert [r.split(":")[0] for r in world.refused] == ["agent_id", "unregistered"]
    assert world.rows == {}


def test_where_quarantine_has_no_room_the_agent_keeps_the_batch(
    ingest: Ingest, world: World
) -> None:
    world.quarantine_full = True
    send(ingest, world, batch(1, space_id="new"))
    assert world.refused[0].startswith("space_id")
    assert world.acks == []
    assert ingest.counters.held_back_total == 1
    world.quarantine_full = False
    send(ingest, world, batch(1, space_id="new"), batch(2))
    assert world.acks[-1] == 2


def test_what_came_ahead_of_a_gap_is_not_stored_twice(ingest: Ingest, world: World) -> None:
    for seq in (2, 2, 1):
        send(ingest, world, batch(seq))
    assert world.steps.count("insert") == 2
    assert ingest.counters.repeated_batches_total == 1
    assert world.acks[-1] == 2


def test_a_message_from_quarantine_is_stored_though_its_number_is_acknowledged(
    ingest: Ingest, world: World
) -> None:
    send(ingest, world, batch(1, space_id="new"), batch(2))
    assert world.acks[-1] == 2
    settled: list[int] = []
    checked = pack_batch(batch(1), NOW)
    ingest.deliver(Handed((checked,), lambda: settled.append(1), again=True))
    wait_for(lambda: settled == [1])
    assert len(world.rows) == 2
    assert world.stored["box-1", "sightings", SPOOL] == 2


def test_a_settling_that_fails_does_not_keep_the_others_waiting(
    ingest: Ingest, world: World
) -> None:
    def broken() -> None:
        raise OSError("connection lost")

    ingest.deliver(Delivery(TOPIC, sign(batch(1), AGENT_KEY), broken))
    send(ingest, world, batch(2))
    assert world.acks[-1] == 2
    assert ingest.counters.failures_total == 1


def test_groups_grow_with_the_queue_and_never_wait_for_a_full_one() -> None:
    waiting = Waiting(lambda: False)
    for _ in range(300):
        waiting.put(Delivery(TOPIC, bytes(64 * 372), lambda: None))
    sizes = [len(waiting.group()) for _ in range(3)]
    assert len(waiting) + sum(sizes) == 300
    assert all(size * 53 >= 5_000 for size in sizes)
