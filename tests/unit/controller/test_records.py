"""The records on SQLite: durable, bounded, portable to PostgreSQL."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from controller.adapters.records import quarantine as quarantine_records
from controller.adapters.records import schema
from controller.adapters.records.engine import Database, RecordsError
from controller.adapters.records.fleet import SqlFleet
from controller.adapters.records.ingest import SqlCursors, SqlDirectory
from controller.adapters.records.people import SqlAudit, chain_hash
from controller.adapters.records.quarantine import SqlQuarantine
from controller.adapters.records.seen import FreshFleet, SeenAgents
from controller.services.ingest_ports import Quarantined
from controller.services.ports import Cursor
from controller.services.values import Agent
from wire.messages import AgentState, Health

SPOOL = UUID(int=9)
AGENT = Agent("a", "cam", bytes(32), bytes(32), 0.0, 0.0, 0)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(f"sqlite:///{tmp_path / 'records.sqlite'}")
    yield opened
    opened.close()


def state(*, online: bool, bd_seq: int) -> AgentState:
    return AgentState(
        agent_id="a", online=online, bd_seq=bd_seq, since_us=1, camera_id="cam",
        model_pack_id="p", space_id="s", variant="v", version="1",
    )  # fmt: skip


def test_sqlite_runs_in_wal_mode_and_wipes_what_is_deleted(
    database: Database, tmp_path: Path
) -> None:
    with database.read() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "secure_delete", "synchronous")
        }
    assert pragmas == {"journal_mode": "wal", "secure_delete": 1, "synchronous": 2}


def test_every_table_can_be_made_on_postgresql() -> None:
    for table in schema.metadata.sorted_tables:
        text = str(CreateTable(table).compile(dialect=postgresql.dialect()))
        assert "CREATE TABLE" in text


def test_an_unusable_dsn_names_the_setting(tmp_path: Path) -> None:
    for dsn in ("nonsense", f"sqlite:///{tmp_path / 'no' / 'such' / 'folder' / 'r.sqlite'}"):
        with pytest.raises(RecordsError, match=r"^records\.dsn: "):
            Database(dsn)


def test_another_schema_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "records.sqlite"
    Database(f"sqlite:///{path}").close()
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE schema_version SET version = 99")
    with pytest.raises(RecordsError, match="schema 99"):
        Database(f"sqlite:///{path}")


def test_cursors_only_grow(database: Database) -> None:
    cursors = SqlCursors(database)
    assert cursors.cursor("a", "sightings", SPOOL) == 0
    for seq, expected in ((5, 5), (3, 5), (9, 9)):
        cursors.advance([Cursor("a", "sightings", SPOOL, seq)])
        assert cursors.cursor("a", "sightings", SPOOL) == expected
    assert cursors.cursor("a", "replies", SPOOL) == 0


def test_quarantine_is_bounded_in_number_and_bytes(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine_records, "MAX_QUARANTINED", 3)
    monkeypatch.setattr(quarantine_records, "MAX_QUARANTINED_BYTES", 250)
    quarantine = SqlQuarantine(database)
    for n in range(6):
        quarantine.add([Quarantined(n, "t", "r", bytes(100))])
    assert quarantine.count() == 6
    with database.read() as connection:
        kept = [row.at_us for row in connection.execute(schema.quarantine.select())]
    assert kept == [4, 5]


def test_a_newly_registered_agent_is_known_to_ingest_at_once(database: Database) -> None:
    fleet = SqlFleet(database)
    directory = SqlDirectory(fleet)
    assert directory.facts("a") is None
    fleet.add_agents([AGENT], 1)
    facts = directory.facts("a")
    assert facts is not None
    assert (facts.camera_id, facts.shard) == ("cam", 0)


def test_a_death_of_an_older_connection_is_ignored(database: Database) -> None:
    seen = SeenAgents(database)
    assert seen.saw_state(state(online=True, bd_seq=7), 1)
    assert not seen.saw_state(state(online=False, bd_seq=6), 2)
    assert seen.online() == 1
    assert seen.saw_state(state(online=False, bd_seq=7), 3)
    assert seen.online() == 0


def test_what_was_heard_outlives_a_restart(database: Database) -> None:
    seen = SeenAgents(database)
    fleet = FreshFleet(database, seen)
    fleet.add_agents([AGENT], 1)
    seen.saw_state(state(online=True, bd_seq=7), 5)
    seen.saw_health(Health(agent_id="a", at_us=6, started_us=1, frames_total=3), 6)
    assert fleet.statuses()[0].health["frames_total"] == 3  # type: ignore[index]
    assert SeenAgents(database).online() == 1


def test_audit_lines_chain(database: Database) -> None:
    audit = SqlAudit(database)
    for n in range(3):
        audit.append(at_us=n, actor="ivy", action="x", subject="s", detail="d")
    lines = audit.lines()
    for line in lines:
        parts = (str(line.seq), str(line.at_us), "ivy", "x", "s", "d", line.prev_hash)
        assert line.hash == chain_hash(parts)
    assert [line.prev_hash for line in lines[1:]] == [line.hash for line in lines[:-1]]
