"""What ingest needs kept: cursors, replies, agents' facts; see services/ports."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, insert, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.sql.dml import Insert

from controller.adapters.records import schema
from controller.adapters.records.engine import Database
from controller.adapters.records.fleet import SqlFleet
from controller.services.ports import AgentFacts, Cursor
from controller.services.values import Agent
from wire.codec import decode, encode
from wire.messages import Reply


class SqlDirectory:
    """`AgentDirectory` over the registry: read once as a whole, then unknown ids one by one.

    Holds at most as many entries as agents are registered.
    """

    def __init__(self, fleet: SqlFleet) -> None:
        self._fleet = fleet
        self._known: dict[str, AgentFacts] | None = None

    def facts(self, agent_id: str) -> AgentFacts | None:
        """Return a registered agent's facts, or None."""
        if self._known is None:
            # One by one a city's 10,820 agents would cost the first seconds after a start.
            self._known = {one.agent_id: _facts(one) for one in self._fleet.agents()}
        if agent_id not in self._known:
            agent = self._fleet.agent(agent_id)
            if agent is None:
                return None
            self._known[agent_id] = _facts(agent)
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

    def some(self, limit: int) -> Sequence[Cursor]:
        """Return stored cursors, all of them unless there are more than `limit`."""
        table = schema.cursors.c
        columns = (table.agent_id, table.stream, table.spool_id, table.acked_seq)
        with self._database.read() as connection:
            return [Cursor(*row) for row in connection.execute(select(*columns).limit(limit))]

    def advance(self, cursors: Sequence[Cursor]) -> None:
        """Store new numbers in one transaction; a lower number than the stored one is ignored."""
        if not cursors:
            return
        rows = [
            {"agent_id": c.agent_id, "stream": c.stream, "spool_id": c.spool_id,
             "acked_seq": c.acked_seq}
            for c in cursors
        ]  # fmt: skip
        with self._database.write() as connection:
            connection.execute(forward(connection.dialect.name), rows)


def _facts(agent: Agent) -> AgentFacts:
    return AgentFacts(
        agent.agent_id, agent.camera_id, agent.shard, agent.signing_public, agent.sealing_public
    )


def forward(dialect: str) -> Insert:
    """Return the statement that adds or raises cursors, for `sqlite` or `postgresql`."""
    table = schema.cursors
    make = postgresql_insert if dialect == "postgresql" else sqlite_insert
    statement = make(table)
    return statement.on_conflict_do_update(
        index_elements=[table.c.agent_id, table.c.stream, table.c.spool_id],
        set_={"acked_seq": statement.excluded.acked_seq},
        where=table.c.acked_seq < statement.excluded.acked_seq,
    )


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


def agents_registered(database: Database) -> int:
    """Return how many agents are registered, without reading them."""
    with database.read() as connection:
        query = select(func.count()).select_from(schema.agents)
        return int(connection.execute(query).scalar_one())
