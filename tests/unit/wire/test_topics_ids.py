"""Topics and ids: what is built parses back; nothing else parses."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire import ids, times, topics
from wire.errors import TopicInvalid

KINDS = ["state", "sightings", "health", "queries", "acks", "keys"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_topic_parses_back(kind: str) -> None:
    parsed = topics.parse_topic(topics.agent_topic("cam_1-a", kind))
    assert (parsed.agent_id, parsed.kind, parsed.query_id) == ("cam_1-a", kind, None)


def test_a_reply_topic_names_its_query() -> None:
    assert topics.parse_topic(topics.reply_topic("a", "q1")).query_id == "q1"


@pytest.mark.parametrize("agent_id", ["", "a/b", "+", "#", "-a", "a b", "a" * 65, "é", "a\n"])
def test_an_agent_id_that_could_widen_a_topic_is_refused(agent_id: str) -> None:
    with pytest.raises(TopicInvalid):
        topics.agent_topic(agent_id, "state")


@given(st.text(max_size=60))
def test_any_text_parses_or_is_refused(text: str) -> None:
    for candidate in (text, f"sightline/v1/agents/{text}"):
        try:
            parsed = topics.parse_topic(candidate)
        except TopicInvalid:
            continue
        assert parsed.kind in {*KINDS, "replies"}


@given(unix_ms=st.integers(0, (1 << 48) - 1), label=st.text(max_size=20))
def test_derived_ids_are_version_7_and_repeatable(unix_ms: int, label: str) -> None:
    first = ids.derived_uuid7(unix_ms=unix_ms, secret=b"k", label=label)
    assert first == ids.derived_uuid7(unix_ms=unix_ms, secret=b"k", label=label)
    assert first.version == 7
    assert ids.uuid7_unix_ms(first) == unix_ms
    assert first != ids.derived_uuid7(unix_ms=unix_ms, secret=b"other", label=label)


def test_random_ids_do_not_repeat() -> None:
    made: set[UUID] = {ids.uuid7(unix_ms=1) for _ in range(1000)}
    assert len(made) == 1000


def test_times_round_trip_and_naive_times_are_refused() -> None:
    moment = datetime(2026, 3, 1, 23, 59, 59, 999_999, tzinfo=UTC)
    assert times.from_us(times.to_us(moment)) == moment
    assert times.epoch_of_us(times.to_us(moment)) + 1 == times.epoch_of_us(times.to_us(moment) + 1)
    with pytest.raises(ValueError, match="timezone-aware"):
        times.to_us(datetime(2026, 3, 1))
