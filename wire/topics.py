"""MQTT topics of the contract, `sightline/v1/agents/{agent}/...`."""

import re
from typing import Final, NamedTuple

from wire.errors import TopicInvalid

ROOT: Final = "sightline/v1"
_AGENT_ID: Final = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")
_KINDS: Final = frozenset({"state", "sightings", "health", "queries", "replies", "acks", "keys"})


class ParsedTopic(NamedTuple):
    """A topic taken apart: whose it is, what it is for, and the query id of a reply."""

    agent_id: str
    kind: str
    query_id: str | None


def check_agent_id(agent_id: str) -> str:
    """Return the id if it may stand in a topic; else raise `TopicInvalid`."""
    if not _AGENT_ID.match(agent_id):
        raise TopicInvalid(
            f"agent_id {agent_id[:80]!r}: use 1-64 letters, digits, '-' or '_', "
            "starting with a letter or digit"
        )
    return agent_id


def agent_topic(agent_id: str, kind: str) -> str:
    """Return the topic of one kind for one agent (`replies` needs `reply_topic`)."""
    if kind not in _KINDS - {"replies"}:
        raise TopicInvalid(f"kind {kind!r} is not a topic of the contract")
    return f"{ROOT}/agents/{check_agent_id(agent_id)}/{kind}"


def reply_topic(agent_id: str, query_id: str) -> str:
    """Return the topic on which one agent answers one query (`query_id`: UUID as hex text)."""
    return f"{ROOT}/agents/{check_agent_id(agent_id)}/replies/{query_id}"


def every_agent(kind: str, *, share_group: str | None = None) -> str:
    """Return the subscription filter for one kind over all agents, shared if a group is given."""
    if kind not in _KINDS:
        raise TopicInvalid(f"kind {kind!r} is not a topic of the contract")
    tail = "replies/+" if kind == "replies" else kind
    base = f"{ROOT}/agents/+/{tail}"
    return base if share_group is None else f"$share/{share_group}/{base}"


def parse_topic(topic: str) -> ParsedTopic:
    """Take a topic apart; anything that is not of the contract raises `TopicInvalid`."""
    parts = topic.split("/")
    prefix_ok = parts[:3] == [*ROOT.split("/"), "agents"]
    if not prefix_ok or len(parts) not in (5, 6) or parts[4] not in _KINDS:
        raise TopicInvalid(f"topic {topic[:120]!r} is not of the contract")
    if (len(parts) == 6) != (parts[4] == "replies"):
        raise TopicInvalid(f"topic {topic[:120]!r} is not of the contract")
    query_id = parts[5] if len(parts) == 6 else None
    return ParsedTopic(check_agent_id(parts[3]), parts[4], query_id)
