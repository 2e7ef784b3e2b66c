"""What ingest needs kept: cursors, quarantine, replies, agents' facts; see services/ports."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import delete, func, insert, select, update

from controller.adapters.records import schema
from controller.adapters.records.engine import Database
from controller.adapters.records.fleet import SqlFleet
from controller.services.ports import AgentFacts, Cursor
from wire.codec import decode, encode
from wire.messages import Reply

MAX_QUARANTINED: Final = 1_000
MAX_QUARANTINED_BYTES: Final = 32 * 1024 * 1024
_REFUSED_EVER: Final = "quarantined_total"


class SqlDirectory:
    """`AgentDirectory` over the registry; remembers what it read, asks again for unknown ids.

    Holds at most as many entries as agents are registered.
    """

    def __init__(self, fleet: SqlFleet) -> None:
        self._fleet = fleet
        self._known: dict[str, AgentFacts] = {}

    def facts(self, agent_id: str) -> AgentFacts | None:
        """Return a registered agent's facts, or None."""
        if agent_id not in self._known:
            agent = self._fleet.agent(agent_id)
            if agent is None:
                return None
            self._known[agent_id] = AgentFacts(
                agent_id, agent.camera_id, agent.shard, agent.signing_public, agent.sealing_public
            )
        return self._known[agent_id]


class SqlCursors:
    """`CursorStore` on SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def cursor(self, agent_id: str, stream: str, spool_id: UUID) -> int:
        """Return the acknowledged number, 0 for an unknown spool."""
        table = schema.cursors
        query = select(table.c.acked_seq).where(
            table.c.agent_id == agent_id, table.c.stream == stream, table.c.spool_id == spool_id
        )
        with self._database.read() as connection:
            return int(connection.execute(query).scalar() or 0)

    def advance(self, cursors: Sequence[Cursor]) -> None:
        """Store new numbers in one transaction; a lower number than the stored one is ignored."""
        if not cursors:
            return
        table = schema.cursors
        with self._database.write() as connection:
            for one in cursors:
                mine = (
                    (table.c.agent_id == one.agent_id)
                    & (table.c.stream == one.stream)
                    & (table.c.spool_id == one.spool_id)
                )
                found = connection.execute(select(table.c.acked_seq).where(mine)).scalar()
                value = {"acked_seq": one.acked_seq}
                if found is None:
                    names = {"agent_id": one.agent_id, "stream": one.stream}
                    row = {**names, "spool_id": one.spool_id, **value}
                    connection.execute(insert(table), row)
                elif one.acked_seq > found:
                    connection.execute(update(table).where(mine).values(**value))


class SqlQuarantine:
    """`QuarantineStore` on SQL: at most 1,000 messages and 32 MiB, the oldest go first."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, *, at_us: int, topic: str, reason: str, payload: bytes) -> None:
        """Keep a refused message."""
        table = schema.quarantine
        with self._database.write() as connection:
            counter = schema.counters.c
            mine = counter.name == _REFUSED_EVER
            ever = connection.execute(select(counter.value).where(mine)).scalar()
            if ever is None:
                connection.execute(insert(schema.counters), {"name": _REFUSED_EVER, "value": 0})
            position = int(ever or 0) + 1
            connection.execute(update(schema.counters).where(mine).values(value=position))
            row = {"position": position, "at_us": at_us, "topic": topic, "reason": reason}
            connection.execute(insert(table), {**row, "raw": payload, "size_bytes": len(payload)})
            connection.execute(delete(table).where(table.c.position <= position - MAX_QUARANTINED))
            size = select(func.coalesce(func.sum(table.c.size_bytes), 0))
            while connection.execute(size).scalar_one() > MAX_QUARANTINED_BYTES:
                oldest = connection.execute(select(func.min(table.c.position))).scalar()
                connection.execute(delete(table).where(table.c.position == oldest))

    def count(self) -> int:
        """Return how many were ever refused, dropped ones included."""
        counter = schema.counters.c
        with self._database.read() as connection:
            query = select(counter.value).where(counter.name == _REFUSED_EVER)
            return int(connection.execute(query).scalar() or 0)


class SqlReplies:
    """`ReplyStore` on SQL; bodies stay sealed to the case's key."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_reply(self, reply: Reply, at_us: int) -> bool:
        """Keep one part durably; False if it is there already or the query is unknown.

        Only the agent that was asked may answer.
        """
        queries, table = schema.queries, schema.replies
        asked = select(queries.c.case_id).where(
            queries.c.query_id == reply.query_id, queries.c.agent_id == reply.agent_id
        )
        same = (table.c.query_id == reply.query_id) & (table.c.part == reply.part)
        with self._database.write() as connection:
            case_id = connection.execute(asked).scalar()
            if case_id is None or connection.execute(select(table.c.part).where(same)).first():
                return False
            row = {
                "query_id": reply.query_id,
                "part": reply.part,
                "case_id": case_id,
                "agent_id": reply.agent_id,
                "received_us": at_us,
                "message": encode(reply),
            }
            connection.execute(insert(table), row)
        return True

    def replies(self, query_id: UUID) -> Sequence[Reply]:
        """Return the parts of a query that have come, in order of their number."""
        table = schema.replies
        query = select(table.c.message).where(table.c.query_id == query_id).order_by(table.c.part)
        with self._database.read() as connection:
            return [decode(Reply, raw) for raw in connection.execute(query).scalars()]
