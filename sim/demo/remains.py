"""What is left of a case in the controller's files: rows that name it, bytes that it kept."""

import mmap
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

_LEAST_SECRET_BYTES: Final = 32
_MARK_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class Holdings:
    """Rows per table that name one case, and the start of every blob in those rows."""

    rows: dict[str, int]
    secrets: frozenset[bytes]


def holdings(records: Path, case_id: str) -> Holdings:
    """Look through every table of the records file, read-only, whatever its columns are called."""
    rows: dict[str, int] = {}
    secrets: set[bytes] = set()
    with closing(sqlite3.connect(f"file:{records}?mode=ro", uri=True)) as database:
        for table in _tables(database):
            found = list(_rows_naming(database, table, case_id))
            if found:
                rows[table] = len(found)
            secrets.update(
                bytes(value[:_MARK_BYTES])
                for row in found
                for value in row
                if isinstance(value, bytes) and len(value) >= _LEAST_SECRET_BYTES
            )
    return Holdings(rows, frozenset(secrets))


def files_holding(directory: Path, secrets: frozenset[bytes]) -> list[Path]:
    """Return the files below `directory` in which any of these bytes can still be found.

    Free pages and write-ahead logs are part of the files, so a deleted row that was not wiped
    counts as found.
    """
    return [
        path
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.stat().st_size and _holds(path, secrets)
    ]


def _holds(path: Path, secrets: frozenset[bytes]) -> bool:
    with (
        path.open("rb") as file,
        closing(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) as data,
    ):
        return any(data.find(secret) >= 0 for secret in secrets)


def _tables(database: sqlite3.Connection) -> list[str]:
    query = "SELECT name FROM sqlite_master WHERE type = 'table'"
    return [str(row[0]) for row in database.execute(query)]


def _rows_naming(
    database: sqlite3.Connection, table: str, case_id: str
) -> Iterator[tuple[object, ...]]:
    identity = UUID(case_id)
    names = {str(identity), identity.hex, identity.bytes}
    for row in database.execute(f'SELECT * FROM "{table}"'):
        if any(value in names for value in row if isinstance(value, str | bytes)):
            yield row
