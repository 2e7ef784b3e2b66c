"""Records from SQLite to PostgreSQL and back through a backup's rows, on a real server.

SIGHTLINE_TEST_RECORDS_DSN names an empty database; without it a server of this machine is started
for the test, if PostgreSQL and psycopg are installed.
"""

import os
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import select

from controller.adapters.backup import records
from controller.adapters.backup.manifest import BackupError
from controller.adapters.records import schema
from controller.adapters.records.engine import Database
from controller.adapters.records.ingest import SqlCursors
from controller.services.ports import Cursor
from tests.integration.backup.town import Town
from tests.integration.controller.test_command_line import free_port

NOW_US = 1_800_000_000_000_000


@pytest.fixture(scope="module")
def dsn() -> Iterator[str]:
    given = os.environ.get("SIGHTLINE_TEST_RECORDS_DSN")
    if given:
        yield given
        return
    initdb, pg_ctl = shutil.which("initdb"), shutil.which("pg_ctl")
    try:
        import psycopg  # noqa: F401
    except ImportError:
        initdb = None
    if initdb is None or pg_ctl is None:
        why = "NOT TESTED: records on PostgreSQL; install postgresql and psycopg, or give a DSN"
        warnings.warn(why, stacklevel=2)
        pytest.skip(why)
    # Not below pytest's own folder, which only its owner may enter.
    folder, port = Path(tempfile.mkdtemp(prefix="sightline-postgresql-")), free_port()
    # PostgreSQL refuses to run as root.
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if user:
        shutil.chown(folder, "postgres")
    data = str(folder / "data")
    run = {"check": True, "stdout": subprocess.DEVNULL, "timeout": 60}
    subprocess.run([*user, initdb, "-D", data, "-A", "trust", "-U", "sightline"], **run)  # type: ignore[call-overload]
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
    start = [*user, pg_ctl, "-D", data, "-l", str(folder / "log"), "-o", options, "-w", "start"]
    subprocess.run(start, **run)  # type: ignore[call-overload]
    try:
        yield f"postgresql+psycopg://sightline@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([*user, pg_ctl, "-D", data, "-m", "immediate", "stop"], **run)  # type: ignore[call-overload]
        shutil.rmtree(folder)


def everything(database: Database) -> dict[str, list[tuple[object, ...]]]:
    with database.snapshot() as connection:
        return {
            table.name: sorted((tuple(row) for row in connection.execute(select(table))), key=repr)
            for table in schema.metadata.sorted_tables
            if table not in (schema.counters, schema.tokens)
        }


def test_records_move_between_the_two_and_a_snapshot_stands_still(
    town: Town, dsn: str, tmp_path: Path
) -> None:
    town.world.approved_case()
    town.acknowledge("box-1", 17)
    source = town.world.controller.stores.database
    first = records.snapshot(source)
    postgres = Database(dsn)
    records.write_back(postgres, first.rows, first.epoch_keys, first.case_keys, NOW_US)
    with pytest.raises(BackupError, match=r"records\.dsn: holds records already"):
        records.write_back(postgres, first.rows, first.epoch_keys, first.case_keys, NOW_US)

    with postgres.snapshot() as connection:
        before = connection.execute(select(schema.cursors.c.acked_seq)).scalars().all()
        SqlCursors(postgres).advance([Cursor("box-1", "sightings", UUID(int=1), 18)])
        assert connection.execute(select(schema.cursors.c.acked_seq)).scalars().all() == before
    assert records.restored_us(postgres) == NOW_US

    second = records.snapshot(postgres)
    back = Database(f"sqlite:///{tmp_path / 'back.sqlite'}")
    records.write_back(back, second.rows, second.epoch_keys, second.case_keys, NOW_US)
    found, expected = everything(back), everything(source)
    spool = UUID(int=1)
    assert found.pop("cursors") == [("box-1", "sightings", spool, 18)]
    assert expected.pop("cursors") == [("box-1", "sightings", spool, 17)]
    # Only when the keys were written differs.
    drop = [{row[:2] for row in one.pop("epoch_keys")} for one in (found, expected)]
    assert drop[0] == drop[1]
    assert found == expected
    assert len(found["cases"]) == 1
    back.close()
    postgres.close()
