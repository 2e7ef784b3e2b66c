"""What was last heard of each agent: in memory, written behind in one transaction."""

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import bindparam, delete, insert, select

from controller.adapters.records import schema
from controller.adapters.records.engine import Database
from controller.adapters.records.fleet import SqlFleet
from controller.services.values import AgentStatus
from wire.messages import AgentState, Health


@dataclass(frozen=True, slots=True)
class _Seen:
    online: bool = False
    bd_seq: int = 0
    last_seen_us: int = 0
    space_id: str = ""
    variant: str = ""
    state_json: str = "null"
    health_json: str = "null"


class SeenAgents:
    """`FleetSeen`; losing the last seconds in a crash is harmless, states are retained.

    Holds at most one entry per registered agent: ingest asks only for those.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._seen = self._load()
        self._changed: set[str] = set()

    def saw_state(self, state: AgentState, at_us: int) -> bool:
        """Note a birth or death; False for a death of another `bd_seq` than the last birth."""
        with self._lock:
            known = self._seen.get(state.agent_id, _Seen())
            if not state.online and known.online and state.bd_seq != known.bd_seq:
                return False
            facts = state.model_dump(mode="json", include={"calibration_id", "version", "device"})
            self._note(
                state.agent_id,
                replace(
                    known,
                    online=state.online,
                    bd_seq=state.bd_seq,
                    last_seen_us=at_us,
                    space_id=state.space_id,
                    variant=state.variant,
                    state_json=json.dumps(facts),
                ),
            )
        return True

    def saw_health(self, health: Health, at_us: int) -> None:
        """Note a health message."""
        facts = health.model_dump(mode="json", exclude={"schema_", "agent_id"})
        with self._lock:
            known = self._seen.get(health.agent_id, _Seen())
            seen = replace(known, last_seen_us=at_us, health_json=json.dumps(facts))
            self._note(health.agent_id, seen)

    def flush(self) -> int:
        """Write what changed; how many agents."""
        with self._lock:
            changed = {agent_id: self._seen[agent_id] for agent_id in self._changed}
            self._changed.clear()
        if not changed:
            return 0
        table = schema.agent_seen
        rows = [_row(agent_id, seen) for agent_id, seen in changed.items()]
        with self._database.write() as connection:
            gone = delete(table).where(table.c.agent_id == bindparam("gone"))
            connection.execute(gone, [{"gone": agent_id} for agent_id in changed])
            connection.execute(insert(table), rows)
        return len(rows)

    def online(self) -> int:
        """Return how many agents are online."""
        with self._lock:
            return sum(seen.online for seen in self._seen.values())

    def _note(self, agent_id: str, seen: _Seen) -> None:
        self._seen[agent_id] = seen
        self._changed.add(agent_id)

    def _load(self) -> dict[str, _Seen]:
        with self._database.read() as connection:
            rows = connection.execute(select(schema.agent_seen)).all()
        return {
            row.agent_id: _Seen(
                row.online, row.bd_seq, row.last_seen_us, row.space_id, row.variant,
                row.state_json, row.health_json,
            )
            for row in rows
        }  # fmt: skip


class FreshFleet(SqlFleet):
    """The registry whose statuses are as fresh as memory."""

    def __init__(self, database: Database, seen: SeenAgents) -> None:
        super().__init__(database)
        self._seen_agents = seen

    def statuses(self) -> Sequence[AgentStatus]:
        """Return all registered agents with what was last heard of them."""
        self._seen_agents.flush()
        return super().statuses()


def _row(agent_id: str, seen: _Seen) -> dict[str, object]:
    return {
        "agent_id": agent_id,
        "online": seen.online,
        "bd_seq": seen.bd_seq,
        "last_seen_us": seen.last_seen_us,
        "space_id": seen.space_id,
        "variant": seen.variant,
        "state_json": seen.state_json,
        "health_json": seen.health_json,
    }
