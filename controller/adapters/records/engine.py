"""The database behind the records: SQLite in WAL mode by default, PostgreSQL by DSN alone."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, insert, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from controller.adapters.records import schema
from controller.errors import ControllerError

_LOG: Final = logging.getLogger(__name__)
_BUSY_TIMEOUT_MS: Final = 15_000
_SCRUB_ATTEMPTS: Final = 40


class RecordsError(ControllerError):
    """The records cannot be opened or used."""


class Database:
    """Short transactions on one engine; a write transaction takes the write lock at its start."""

    def __init__(self, dsn: str) -> None:
        self._engine = _engine(dsn)
        self._write_lock = threading.Lock()
        self._sqlite = self._engine.dialect.name == "sqlite"
        try:
            self._prepare()
        except SQLAlchemyError as error:
            raise RecordsError(
                f"records.dsn: cannot open the records ({type(error).__name__}); "
                "check the DSN, the folder and the server"
            ) from None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection for reading one consistent state."""
        with self._engine.connect() as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Give a connection whose every read sees the state of the first one."""
        with self._engine.connect() as connection:
            if not self._sqlite:
                # SQLite's transactions are snapshots anyway.
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Give a connection whose changes are all kept, durably, or none.

        One writer at a time in this process; SQLite makes other processes wait up to 15 s.
        """
        with self._write_lock, self._engine.connect() as connection:
            connection = connection.execution_options(sightline_write=True)
            with connection.begin():
                yield connection

    def scrub(self) -> None:
        """Make sure that deleted rows are not left in a journal (SQLite: truncate the WAL)."""
        if not self._sqlite:
            return
        for _ in range(_SCRUB_ATTEMPTS):
            # A reader may still look at an old state for a moment; then nothing is truncated.
            if self._truncate_journal():
                return
            time.sleep(0.05)
        _LOG.warning("event=journal_not_truncated mend=it is tried again with the next scrub")

    def _truncate_journal(self) -> bool:
        with self._write_lock, self._engine.connect() as connection:
            raw = connection.connection.dbapi_connection
            if raw is None:
                return False
            cursor = raw.cursor()
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            answer = cursor.fetchone()
            cursor.close()
        return answer is not None and int(answer[0]) == 0

    def close(self) -> None:
        """Give all connections back."""
        self._engine.dispose()

    def _prepare(self) -> None:
        with self.write() as connection:
            schema.metadata.create_all(connection)
            found = connection.execute(select(schema.schema_version.c.version)).scalar()
            if found is None:
                row = {"version": schema.SCHEMA_VERSION}
                connection.execute(insert(schema.schema_version), row)
            elif found != schema.SCHEMA_VERSION:
                raise RecordsError(
                    f"records.dsn: schema {found} is not {schema.SCHEMA_VERSION}; "
                    "use the matching version of sightline"
                )


def _engine(dsn: str) -> Engine:
    try:
        url = make_url(dsn)
        engine = create_engine(url, pool_pre_ping=True)
    except (ArgumentError, ImportError, ValueError) as error:
        raise RecordsError(
            f"records.dsn: cannot be used ({type(error).__name__}); use sqlite:///PATH or "
            "postgresql+psycopg://..."
        ) from None
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _on_sqlite_connect)
        event.listen(engine, "begin", _on_sqlite_begin)
    return engine


def _on_sqlite_connect(connection: Any, _record: Any) -> None:
    # We say BEGIN ourselves: the driver's own would start reading before it asks for the lock.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout={_BUSY_TIMEOUT_MS}",
        "journal_mode=WAL",
        "synchronous=FULL",
        "secure_delete=ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _on_sqlite_begin(connection: Connection) -> None:
    writing = connection.get_execution_options().get("sightline_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
