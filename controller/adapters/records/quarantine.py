"""Refused messages on SQL; see services/ingest_ports."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, Row, delete, insert, select, update

from controller.adapters.records import schema
from controller.adapters.records.engine import Database
from controller.services.ingest_batches import ACKNOWLEDGED
from controller.services.ingest_ports import Quarantined

MAX_QUARANTINED: Final = 1_000
MAX_QUARANTINED_BYTES: Final = 32 * 1024 * 1024
_REFUSED_EVER: Final = "quarantined_total"
_HELD: Final = frozenset(reason.value for reason in ACKNOWLEDGED)


class SqlQuarantine:
    """`QuarantineStore` on SQL: at most 1,000 messages and 32 MiB."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, messages: Sequence[Quarantined]) -> list[bool]:
        """Keep refused messages in one transaction; tell of each whether it is kept.

        Beyond the bounds the oldest that nobody signed go first; one that its agent signed never
        goes: a new one is not kept then.
        """
        with self._database.write() as connection:
            first = _count_up(connection, len(messages)) - len(messages) + 1
            rows = [
                {"position": first + n, "at_us": one.at_us, "topic": one.topic,
                 "reason": one.reason, "raw": one.payload, "size_bytes": len(one.payload)}
                for n, one in enumerate(messages)
            ]  # fmt: skip
            connection.execute(insert(schema.quarantine), rows)
            gone = _beyond(connection)
            _forget(connection, gone)
        return [first + n not in gone for n in range(len(messages))]

    def count(self) -> int:
        """Return how many were ever refused, dropped ones included."""
        counter = schema.counters.c
        with self._database.read() as connection:
            query = select(counter.value).where(counter.name == _REFUSED_EVER)
            return int(connection.execute(query).scalar() or 0)

    def kept(self) -> dict[str, int]:
        """Return how many are kept now, by reason code."""
        counts: dict[str, int] = {}
        with self._database.read() as connection:
            for reason in connection.execute(select(schema.quarantine.c.reason)).scalars():
                code = reason.partition(":")[0]
                counts[code] = counts.get(code, 0) + 1
        return counts

    def listed(self, *, code: str | None, after: int, limit: int) -> list[Quarantined]:
        """Return kept messages beyond a position in order, without their payloads."""
        table = schema.quarantine.c
        query = select(table.position, table.at_us, table.topic, table.reason)
        query = query.where(table.position > after).order_by(table.position).limit(limit)
        if code is not None:
            query = query.where(table.reason.startswith(f"{code}:", autoescape=True))
        with self._database.read() as connection:
            return [
                Quarantined(row.at_us, row.topic, row.reason, b"", row.position)
                for row in connection.execute(query)
            ]

    def one(self, position: int) -> Quarantined | None:
        """Return one kept message whole."""
        table = schema.quarantine
        query = select(table).where(table.c.position == position)
        with self._database.read() as connection:
            return _whole(connection.execute(query).first())

    def remove(self, positions: Sequence[int]) -> int:
        """Forget messages; return how many were there."""
        with self._database.write() as connection:
            return _forget(connection, positions)


def _count_up(connection: Connection, by: int) -> int:
    counter = schema.counters.c
    mine = counter.name == _REFUSED_EVER
    ever = connection.execute(select(counter.value).where(mine)).scalar()
    if ever is None:
        connection.execute(insert(schema.counters), {"name": _REFUSED_EVER, "value": 0})
    total = int(ever or 0) + by
    connection.execute(update(schema.counters).where(mine).values(value=total))
    return total


def _beyond(connection: Connection) -> set[int]:
    """Return the positions that must go: first the oldest unsigned, then the newest signed."""
    table = schema.quarantine.c
    query = select(table.position, table.reason, table.size_bytes).order_by(table.position)
    rows = connection.execute(query).all()
    count, size = len(rows), sum(row.size_bytes for row in rows)
    unsigned = [row for row in rows if row.reason.partition(":")[0] not in _HELD]
    signed = [row for row in rows if row.reason.partition(":")[0] in _HELD]
    gone: set[int] = set()
    for row in (*unsigned, *reversed(signed)):
        if count <= MAX_QUARANTINED and size <= MAX_QUARANTINED_BYTES:
            break
        gone.add(row.position)
        count, size = count - 1, size - row.size_bytes
    return gone


def _forget(connection: Connection, positions: Sequence[int] | set[int]) -> int:
    if not positions:
        return 0
    table = schema.quarantine
    found = connection.execute(delete(table).where(table.c.position.in_(sorted(positions))))
    return int(found.rowcount)


def _whole(row: Row[tuple[object, ...]] | None) -> Quarantined | None:
    if row is None:
        return None
    return Quarantined(row.at_us, row.topic, row.reason, row.raw, row.position)
