"""Whether a message may be taken: signature first, then decoding, then what it may say.

Strict and without side effects, so that it can run in any process and be done again.
"""

from collections.abc import Collection
from typing import Final, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from controller.services.ingest_batches import (
    CheckedBatch,
    Numbered,
    Outcome,
    Reason,
    Refused,
    pack_batch,
)
from controller.services.ports import AgentDirectory, AgentFacts, Clock
from wire.errors import SignatureInvalid, TopicInvalid, WireError
from wire.messages import AgentState, Health, Reply, SightingBatch
from wire.signing import verify
from wire.times import epoch_of_us
from wire.topics import ParsedTopic, parse_topic

FUTURE_SLACK_DAYS: Final = 1
Other = Reply | AgentState | Health
Said = TypeVar("Said", SightingBatch, Other)
OTHER_KINDS: Final[dict[str, type[Other]]] = {
    "replies": Reply,
    "state": AgentState,
    "health": Health,
}
"""What agents say beside sightings, by the kind of its topic."""


class MessageRefused(WireError):
    """A message may not be taken, and why."""

    def __init__(self, reason: Reason, detail: str, number: Numbered | None = None) -> None:
        super().__init__(f"{reason.value}: {detail}")
        self.reason, self.detail, self.number = reason, detail, number


class Checker:
    """Checks messages against the registry, the known spaces and the retention period."""

    def __init__(
        self, directory: AgentDirectory, clock: Clock, *, spaces: Collection[str],
        retention_days: int,
    ) -> None:  # fmt: skip
        self._directory, self._clock = directory, clock
        self._spaces, self._retention_days = frozenset(spaces), retention_days

    def check_batch(self, topic: str, payload: bytes, received_us: int) -> Outcome:
        """Return a batch of sightings ready to store, or its refusal."""
        try:
            return self.take_batch(place(topic), payload, received_us)
        except MessageRefused as error:
            return Refused(topic, payload, error.reason, error.detail, error.number)

    def take_batch(self, parsed: ParsedTopic, payload: bytes, received_us: int) -> CheckedBatch:
        """Return a batch of sightings ready to store; raises `MessageRefused`."""
        if parsed.kind != "sightings":
            raise MessageRefused(Reason.TOPIC, f"{parsed.kind} is not for sightings")
        agent = self._agent(parsed.agent_id)
        batch = _said(SightingBatch, payload, agent)
        self._check(batch, agent)
        return pack_batch(batch, received_us)

    def take_other(self, parsed: ParsedTopic, payload: bytes) -> Other:
        """Return a signed message of another kind; raises `MessageRefused`."""
        kind = OTHER_KINDS.get(parsed.kind)
        if kind is None:
            raise MessageRefused(Reason.TOPIC, f"{parsed.kind} is not for agents to say")
        return _said(kind, payload, self._agent(parsed.agent_id))

    def _agent(self, agent_id: str) -> AgentFacts:
        agent = self._directory.facts(agent_id)
        if agent is None:
            raise MessageRefused(Reason.UNREGISTERED, f"agent {agent_id} is not registered")
        return agent

    def _check(self, batch: SightingBatch, agent: AgentFacts) -> None:
        number = Numbered(batch.agent_id, "sightings", batch.spool_id, batch.seq)
        if batch.camera_id != agent.camera_id:
            raise MessageRefused(Reason.CAMERA, "is not this agent's camera", number)
        if batch.shard != agent.shard:
            raise MessageRefused(Reason.SHARD, "is not this agent's shard", number)
        if batch.space_id not in self._spaces:
            raise MessageRefused(
                Reason.SPACE, f"{batch.space_id!r} has no calibration here; update sightline, "
                "then replay", number,
            )  # fmt: skip
        today = epoch_of_us(self._clock.now_us())
        for sighting in batch.sightings:
            if sighting.epoch != epoch_of_us(sighting.start_us):
                raise MessageRefused(Reason.EPOCH, "is not the day of start_us", number)
            if not today - self._retention_days <= sighting.epoch <= today + FUTURE_SLACK_DAYS:
                raise MessageRefused(
                    Reason.RETENTION, "the day is outside the period; check the clock", number
                )


def place(topic: str) -> ParsedTopic:
    """Take a topic apart; raises `MessageRefused`."""
    try:
        return parse_topic(topic)
    except TopicInvalid as error:
        raise MessageRefused(Reason.TOPIC, str(error)) from None


def _said(kind: type[Said], payload: bytes, agent: AgentFacts) -> Said:
    key = Ed25519PublicKey.from_public_bytes(agent.signing_public)
    try:
        message = verify(kind, payload, key)
    except SignatureInvalid as error:
        raise MessageRefused(Reason.SIGNATURE, str(error)) from None
    except WireError as error:
        raise MessageRefused(Reason.UNDECODABLE, str(error)) from None
    if message.agent_id != agent.agent_id:
        raise MessageRefused(
            Reason.AGENT, f"{message.agent_id}: published on the topic of {agent.agent_id}"
        )
    return message
