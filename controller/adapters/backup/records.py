"""The records as portable rows: the same from SQLite and from PostgreSQL, into either.

Keys are not among them: wrapped keys are taken out and kept each in a file of its own, so that a
key can be erased from a backup when its day or case has ended.
"""

import base64
import gzip
import hashlib
import io
import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, LargeBinary, Table, Uuid, insert, select

from controller.adapters.backup.manifest import BackupError
from controller.adapters.records import schema
from controller.adapters.records.engine import Database

LINEAGE: Final = "backup_lineage"
RESTORED: Final = "restored_us"
_LEFT_OUT: Final = {schema.schema_version.name, schema.epoch_keys.name, schema.tokens.name}
"""Keys have files of their own; people log in again."""
_OWN_COUNTERS: Final = (LINEAGE, RESTORED)
_BATCH: Final = 500


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The records at one moment: rows compressed, and the wrapped keys of then."""

    rows: bytes
    epoch_keys: Mapping[int, bytes]
    case_keys: Mapping[UUID, bytes]


def lineage(database: Database) -> int:
    """Return the number by which these records know their own backups; made at the first call.

    Restored records get another one: what they hold is no longer what the folder goes on from.
    """
    table = schema.counters
    with database.write() as connection:
        query = select(table.c.value).where(table.c.name == LINEAGE)
        found = connection.execute(query).scalar()
        if found is None:
            found = secrets.randbits(62)
            connection.execute(insert(table), {"name": LINEAGE, "value": found})
    return int(found)


def restored_us(database: Database) -> int | None:
    """Return when these records were restored from a backup; None if they never were."""
    table = schema.counters.c
    with database.read() as connection:
        return connection.execute(select(table.value).where(table.name == RESTORED)).scalar()


def snapshot(database: Database) -> Snapshot:
    """Read everything in one transaction; nobody waits for it."""
    with database.snapshot() as connection:
        epochs, cases = _keys(connection)
        packed = io.BytesIO()
        with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as file:
            for table in schema.metadata.sorted_tables:
                if table.name not in _LEFT_OUT:
                    for row in connection.execute(select(table)):
                        file.write(_line(table, row._mapping))
    return Snapshot(packed.getvalue(), epochs, cases)


def live_keys(database: Database) -> tuple[dict[int, str], frozenset[UUID]]:
    """Return the epochs that have a key now, each with the key's tag, and such cases."""
    with database.snapshot() as connection:
        epochs, cases = _keys(connection)
    return {epoch: key_tag(wrapped) for epoch, wrapped in epochs.items()}, frozenset(cases)


def key_tag(wrapped: bytes) -> str:
    """Return a short name of a wrapped key; wrapping the same key again would change it."""
    return hashlib.sha256(wrapped).hexdigest()[:12]


def write_back(
    database: Database, rows: bytes, epoch_keys: Mapping[int, bytes],
    case_keys: Mapping[UUID, bytes], now_us: int,
) -> None:  # fmt: skip
    """Fill empty records; cases without a key have ended and are left out.

    Raises `BackupError` if the records are not empty.
    """
    with database.write() as connection:
        for table in (schema.users, schema.agents, schema.cases, schema.audit):
            if connection.execute(select(table).limit(1)).first() is not None:
                raise BackupError("records.dsn: holds records already; give an empty database")
        pending: dict[str, list[dict[str, Any]]] = {}
        for table, row in _rows(rows):
            if not _belongs(table, row, case_keys):
                continue
            batch = pending.setdefault(table.name, [])
            batch.append(row)
            if len(batch) >= _BATCH:
                connection.execute(insert(table), batch)
                batch.clear()
        for name, batch in pending.items():
            if batch:
                connection.execute(insert(schema.metadata.tables[name]), batch)
        keys = [{"epoch": epoch, "wrapped": wrapped, "created_us": now_us}
                for epoch, wrapped in epoch_keys.items()]  # fmt: skip
        if keys:
            connection.execute(insert(schema.epoch_keys), keys)
        connection.execute(insert(schema.counters), {"name": RESTORED, "value": now_us})


def _keys(connection: Connection) -> tuple[dict[int, bytes], dict[UUID, bytes]]:
    epochs, cases = schema.epoch_keys.c, schema.cases.c
    return (
        {row.epoch: row.wrapped
         for row in connection.execute(select(epochs.epoch, epochs.wrapped))},
        {row.case_id: row.wrapped_key
         for row in connection.execute(select(cases.case_id, cases.wrapped_key))},
    )  # fmt: skip


def _line(table: Table, row: Mapping[Any, Any]) -> bytes:
    values = {name: _plain(value) for name, value in row.items()}
    if table.name == schema.cases.name:
        values["wrapped_key"] = ""
    return json.dumps({"table": table.name, "row": values}).encode() + b"\n"


def _plain(value: Any) -> Any:
    if isinstance(value, bytes | memoryview):
        return base64.b64encode(bytes(value)).decode()
    return str(value) if isinstance(value, UUID) else value


def _rows(packed: bytes) -> Iterator[tuple[Table, dict[str, Any]]]:
    with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
        for line in file:
            said = json.loads(line)
            table = schema.metadata.tables[said["table"]]
            yield table, {name: _typed(table, name, value) for name, value in said["row"].items()}


def _typed(table: Table, name: str, value: Any) -> Any:
    kind = table.c[name].type
    if value is None:
        return None
    if isinstance(kind, LargeBinary):
        return base64.b64decode(value)
    return UUID(value) if isinstance(kind, Uuid) else value


def _belongs(table: Table, row: dict[str, Any], case_keys: Mapping[UUID, bytes]) -> bool:
    """Tell whether a row is restored, and give a case its key."""
    if table.name == schema.counters.name:
        return row["name"] not in _OWN_COUNTERS
    if table not in schema.CASE_TABLES:
        return True
    if table.name == schema.cases.name and row["case_id"] in case_keys:
        row["wrapped_key"] = case_keys[row["case_id"]]
    return row["case_id"] in case_keys
