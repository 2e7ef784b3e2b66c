"""What ingest needs of the world, as interfaces; adapters implement them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from wire.messages import AgentState, Health, Reply


class Clock(Protocol):
    """Tells the time."""

    def now_us(self) -> int:
        """Return microseconds since 1970 UTC."""
        ...


@dataclass(frozen=True, slots=True)
class AgentFacts:
    """What ingest must know of a registered agent; keys are 32 raw bytes."""

    agent_id: str
    camera_id: str
    shard: int
    signing_public: bytes
    sealing_public: bytes


class AgentDirectory(Protocol):
    """The registered agents."""

    def facts(self, agent_id: str) -> AgentFacts | None:
        """Return a registered agent's facts, or None."""
        ...


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where an agent's stream stands: all of `spool_id` up to `acked_seq` is durable."""

    agent_id: str
    stream: str
    spool_id: UUID
    acked_seq: int


class CursorStore(Protocol):
    """Durable cursors; an agent with a new spool starts a new one."""

    def cursor(self, agent_id: str, stream: str, spool_id: UUID) -> int:
        """Return the acknowledged number, 0 for an unknown spool."""
        ...

    def some(self, limit: int) -> Sequence[Cursor]:
        """Return stored cursors, all of them unless there are more than `limit`."""
        ...

    def advance(self, cursors: Sequence[Cursor]) -> None:
        """Store new numbers in one transaction; a lower number than the stored one is ignored."""
        ...


class ReplyStore(Protocol):
    """Replies of agents, until the case has used them."""

    def add_reply(self, reply: Reply, at_us: int) -> bool:
        """Keep one part durably; False if (query, part) is there already or the query unknown."""
        ...

    def replies(self, query_id: UUID) -> Sequence[Reply]:
        """Return the parts of a query that have come, in order of their number."""
        ...


class FleetSeen(Protocol):
    """What was last heard of each agent."""

    def saw_state(self, state: AgentState, at_us: int) -> bool:
        """Note a birth or death; False for a death of another `bd_seq` than the last birth."""
        ...

    def saw_health(self, health: Health, at_us: int) -> None:
        """Note a health message."""
        ...


@dataclass(frozen=True, slots=True)
class Delivery:
    """One MQTT message that must be settled (PUBACK) once it is dealt with."""

    topic: str
    payload: bytes
    settle: Callable[[], None]


class Publisher(Protocol):
    """Sends messages to the broker."""

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Queue a message at QoS 1."""
        ...


@dataclass(frozen=True, slots=True)
class GalleryRow:
    """One sighting as the gallery keeps it."""

    id: UUID
    agent_id: str
    camera_id: str
    epoch: int
    shard: int
    start_us: int
    end_us: int
    time_uncertainty_s: float
    space_id: str
    variant: str
    template: bytes
    mask_state: str
    mask_probability: float
    quality: float
    face_count: int
    clock_offset_s: float = 0.0
    """To be added to the agent's times; the raw times stay as they are: they are the identity."""


@dataclass(frozen=True, slots=True)
class GalleryScope:
    """Where and when to look; no cameras means all of them."""

    start_us: int
    end_us: int
    space_id: str
    camera_ids: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """One epoch and shard of a space: what a search looks at in one go."""

    epoch: int
    shard: int
    space_id: str
    rows: int


@dataclass(frozen=True, slots=True)
class SegmentHits:
    """What a search found in one segment, as columns of m rows; times are clock-corrected.

    `ids` (m,) V16; `camera` and `variant` are places in `cameras` and `variants`, `masks` in
    `MASK_STATES`; `similarity` (m, p) holds the exact cosines to all p probes.
    """

    ids: NDArray[np.void]
    cameras: tuple[str, ...]
    camera: NDArray[np.uint16]
    variants: tuple[str, ...]
    variant: NDArray[np.uint8]
    start_us: NDArray[np.int64]
    end_us: NDArray[np.int64]
    time_uncertainty_s: NDArray[np.float64]
    masks: NDArray[np.uint8]
    quality: NDArray[np.float64]
    similarity: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class SegmentSample:
    """Exact cosines (s, p) of a few rows drawn evenly, with their mask states (s,)."""

    similarity: NDArray[np.float32]
    masks: NDArray[np.uint8]


class GalleryWriter(Protocol):
    """Takes sightings durably."""

    def insert(self, rows: Sequence[GalleryRow]) -> None:
        """Write rows; they survive a crash once this returns."""
        ...
