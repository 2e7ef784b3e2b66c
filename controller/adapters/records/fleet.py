"""The fleet's registry and the epoch keys on SQL."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, delete, func, insert, select

from controller.adapters.records import schema
from controller.adapters.records.engine import Database
from controller.services.values import Agent, AgentStatus


class SqlFleet:
    """`FleetStore` on SQL; also the directory that ingest asks for public keys."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def agents(self) -> Sequence[Agent]:
        """Return all registered agents in order of registration."""
        query = select(schema.agents).order_by(schema.agents.c.position)
        with self._database.read() as connection:
            return [_agent(row) for row in connection.execute(query)]

    def agent(self, agent_id: str) -> Agent | None:
        """Return one agent."""
        query = select(schema.agents).where(schema.agents.c.agent_id == agent_id)
        with self._database.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else _agent(row)

    def add_agents(self, agents: Sequence[Agent], now_us: int) -> None:
        """Add all of them or none."""
        table = schema.agents
        with self._database.write() as connection:
            start = connection.execute(select(func.max(table.c.position))).scalar() or 0
            rows = [_row(one, start + n, now_us) for n, one in enumerate(agents, start=1)]
            connection.execute(insert(table), rows)

    def statuses(self) -> Sequence[AgentStatus]:
        """Return all registered agents with what was last heard of them."""
        agents, seen = schema.agents, schema.agent_seen
        query = (
            select(agents, seen.c.online, seen.c.last_seen_us, seen.c.space_id, seen.c.variant,
                   seen.c.health_json)
            .join(seen, seen.c.agent_id == agents.c.agent_id, isouter=True)
            .order_by(agents.c.position)
        )  # fmt: skip
        with self._database.read() as connection:
            return [_status(row) for row in connection.execute(query)]


class SqlEpochKeys:
    """`EpochKeyStore` on SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def epoch_keys(self) -> Mapping[int, bytes]:
        """Return the wrapped key of each epoch that has one."""
        with self._database.read() as connection:
            rows = connection.execute(select(schema.epoch_keys)).all()
        return {row.epoch: row.wrapped for row in rows}

    def add_epoch_key(self, epoch: int, wrapped: bytes, now_us: int) -> None:
        """Keep a wrapped key; an epoch that has one keeps its own."""
        table = schema.epoch_keys
        with self._database.write() as connection:
            found = connection.execute(select(table.c.epoch).where(table.c.epoch == epoch)).first()
            if found is None:
                row = {"epoch": epoch, "wrapped": wrapped, "created_us": now_us}
                connection.execute(insert(table), row)

    def drop_epoch_key(self, epoch: int) -> None:
        """Destroy an epoch's key."""
        with self._database.write() as connection:
            connection.execute(delete(schema.epoch_keys).where(schema.epoch_keys.c.epoch == epoch))
        self._database.scrub()


def _agent(row: Row[Any]) -> Agent:
    return Agent(
        agent_id=row.agent_id,
        camera_id=row.camera_id,
        signing_public=row.signing_public,
        sealing_public=row.sealing_public,
        x_m=row.x_m,
        y_m=row.y_m,
        shard=row.shard,
        label=row.label,
        coverage_radius_m=row.coverage_radius_m,
    )


def _row(agent: Agent, position: int, now_us: int) -> dict[str, object]:
    return {
        "position": position,
        "agent_id": agent.agent_id,
        "camera_id": agent.camera_id,
        "signing_public": agent.signing_public,
        "sealing_public": agent.sealing_public,
        "x_m": agent.x_m,
        "y_m": agent.y_m,
        "shard": agent.shard,
        "label": agent.label,
        "coverage_radius_m": agent.coverage_radius_m,
        "registered_us": now_us,
    }


def _status(row: Row[Any]) -> AgentStatus:
    if row.last_seen_us is None:
        return AgentStatus(_agent(row))
    return AgentStatus(
        _agent(row),
        online=row.online,
        last_seen_us=row.last_seen_us,
        space_id=row.space_id,
        variant=row.variant,
        health=json.loads(row.health_json or "null"),
    )
