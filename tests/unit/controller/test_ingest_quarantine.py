"""Quarantine: bounded without losing what was acknowledged, looked at, replayed, discarded."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy.dialects import postgresql

from controller.adapters.metrics import COUNTERS, Figures, PrometheusMeter
from controller.adapters.records import quarantine as quarantine_records
from controller.adapters.records.engine import Database
from controller.adapters.records.ingest import forward
from controller.adapters.records.people import SqlAudit
from controller.adapters.records.quarantine import SqlQuarantine
from controller.services.ingest_batches import Handed
from controller.services.ingest_checks import Checker
from controller.services.ingest_ports import Quarantined
from controller.services.ingest_quarantine import QuarantineService
from controller.services.ingest_queue import Item
from controller.services.ports import AgentFacts
from controller.services.refusals import Invalid, NotFound
from controller.services.values import Principal, Role
from tests.unit.controller.test_ingest import AGENT_KEY, NOW, TOPIC, batch
from wire.signing import sign

TOM = Principal("tom", Role.TECHNICIAN)


@dataclass
class Yard:
    """A registry of one agent, a clock that stands, and an ingest that stores at once."""

    taken: list[Item] = field(default_factory=list)

    def now_us(self) -> int:
        return NOW

    def facts(self, agent_id: str) -> AgentFacts | None:
        known = AgentFacts("box-1", "cam-1", 3, AGENT_KEY.public_key().public_bytes_raw(), b"")
        return known if agent_id == "box-1" else None

    def deliver(self, item: Item) -> None:
        self.taken.append(item)
        item.settle()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(f"sqlite:///{tmp_path / 'records.sqlite'}")
    yield made
    made.close()


def service(database: Database, yard: Yard, spaces: set[str]) -> QuarantineService:
    checker = Checker(yard, yard, spaces=spaces, retention_days=14)
    return QuarantineService(
        SqlQuarantine(database), checker, yard.deliver, SqlAudit(database), yard.now_us
    )


def refused(code: str = "space_id", payload: bytes | None = None) -> Quarantined:
    raw = sign(batch(1), AGENT_KEY) if payload is None else payload
    return Quarantined(NOW, TOPIC, f"{code}: because", raw)


def test_what_was_acknowledged_is_never_pushed_out(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine_records, "MAX_QUARANTINED", 3)
    store = SqlQuarantine(database)
    assert store.add([refused("space_id"), refused("signature"), refused("shard")]) == [True] * 3
    assert store.add([refused("camera_id")]) == [True]
    assert store.kept() == {"space_id": 1, "shard": 1, "camera_id": 1}
    assert store.add([refused("epoch"), refused("signature")]) == [False, False]
    assert store.kept() == {"space_id": 1, "shard": 1, "camera_id": 1}
    assert store.count() == 6


def test_messages_are_listed_by_reason_and_page_without_their_payloads(
    database: Database,
) -> None:
    SqlQuarantine(database).add([refused("shard"), refused("space_id"), refused("shard")])
    desk = service(database, Yard(), {"space"})
    assert [one.position for one in desk.listed(code="shard")] == [1, 3]
    assert [one.position for one in desk.listed(after=1, limit=1)] == [2]
    assert {one.payload for one in desk.listed()} == {b""}
    assert desk.kept() == {"shard": 2, "space_id": 1}
    for wrong in ({"code": "nonsense"}, {"limit": 201}):
        with pytest.raises(Invalid):
            desk.listed(**wrong)  # type: ignore[arg-type]


def test_a_message_is_shown_without_any_template(database: Database) -> None:
    SqlQuarantine(database).add([refused(), refused("undecodable", b"no CBOR")])
    desk = service(database, Yard(), {"space"})
    _, glance = desk.show(1)
    assert glance is not None
    assert (glance.agent_id, glance.seq, glance.sightings, glance.trusted) == ("box-1", 1, 1, True)
    assert desk.show(2)[1] is None
    with pytest.raises(NotFound):
        desk.show(3)


def test_a_replay_stores_what_passes_now_and_keeps_what_does_not(database: Database) -> None:
    forged = sign(batch(2), Ed25519PrivateKey.generate())
    SqlQuarantine(database).add([refused(), refused("signature", forged)])
    yard = Yard()
    outcomes = service(database, yard, {"space"}).replay([1, 2, 9], TOM)
    assert [one.outcome.split(":")[0] for one in outcomes] == ["taken", "refused", "gone"]
    assert isinstance(yard.taken[0], Handed)
    assert yard.taken[0].again
    assert SqlQuarantine(database).kept() == {"signature": 1}
    line = SqlAudit(database).lines()[-1]
    assert (line.actor, line.action, line.subject) == ("tom", "quarantine.replayed", "1 messages")
    assert line.detail == "1,2,9"


def test_a_replay_while_the_space_is_still_unknown_changes_nothing(database: Database) -> None:
    SqlQuarantine(database).add([refused()])
    yard = Yard()
    outcome = service(database, yard, {"other"}).replay([1], TOM)[0].outcome
    assert outcome.startswith("refused: space_id")
    assert yard.taken == []
    assert SqlQuarantine(database).kept() == {"space_id": 1}


def test_a_discard_is_bounded_and_audited(database: Database) -> None:
    SqlQuarantine(database).add([refused()] * 3)
    desk = service(database, Yard(), {"space"})
    assert desk.discard([1, 3], TOM) == 2
    assert desk.kept() == {"space_id": 1}
    assert SqlAudit(database).lines()[-1].action == "quarantine.discarded"
    with pytest.raises(Invalid):
        desk.discard(list(range(101)), TOM)


def test_one_statement_moves_cursors_on_both_databases() -> None:
    text = str(forward("postgresql").compile(dialect=postgresql.dialect()))
    assert "ON CONFLICT (agent_id, stream, spool_id) DO UPDATE" in text
    assert "WHERE cursors.acked_seq < excluded.acked_seq" in text


def test_metrics_have_bounded_labels_and_say_since_when_they_count() -> None:
    meter = PrometheusMeter()
    values = dict.fromkeys([*COUNTERS, "ingest_queue_depth"], 1)
    scrapes: list[int] = []

    def figures() -> Figures:
        scrapes.append(1)
        return Figures(values, {"shard": 2}, {"shard": 1})

    meter.expose(figures)
    meter.stored(640, 0.03, [0.2, 0.4])
    text = meter.text().decode()
    assert len(scrapes) == 1
    assert 'sightline_controller_ingest_refused_total{reason="shard"} 2.0' in text
    assert "sightline_controller_publish_to_searchable_seconds_count 2.0" in text
    assert "sightline_controller_ingest_group_sightings_sum 640.0" in text
    assert "agent_id" not in text
    helps = [line for line in text.splitlines() if line.startswith("# HELP") and "_total " in line]
    assert len(helps) == len(COUNTERS) + 1
    assert all("since this process started" in line for line in helps)
