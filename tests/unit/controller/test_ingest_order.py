"""Cursors: the gap-free prefix of what has come, bounded memory of what lies beyond."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.services import ingest_order
from controller.services.ingest_batches import Numbered
from controller.services.ingest_order import MAX_AHEAD, Progress
from controller.services.ports import Cursor


@dataclass
class Shelf:
    """Cursors in memory, which can fail like a locked database."""

    stored: dict[tuple[str, str, UUID], int] = field(default_factory=dict)
    reads: int = 0
    locked: bool = False

    def cursor(self, agent_id: str, stream: str, spool_id: UUID) -> int:
        self.reads += 1
        return self.stored.get((agent_id, stream, spool_id), 0)

    def some(self, limit: int) -> list[Cursor]:
        return [Cursor(*key, seq) for key, seq in list(self.stored.items())[:limit]]

    def advance(self, cursors: Sequence[Cursor]) -> None:
        if self.locked:
            raise OSError("locked")
        self.stored |= {(c.agent_id, c.stream, c.spool_id): c.acked_seq for c in cursors}


def number(seq: int, agent: int = 1) -> Numbered:
    return Numbered(f"box-{agent}", "sightings", UUID(int=agent), seq)


def take(progress: Progress, *seqs: int, agent: int = 1) -> int:
    step = progress.plan([number(seq, agent) for seq in seqs])
    progress.store(step)
    return step.cursors[0].acked_seq


@given(st.permutations(range(1, 21)), st.integers(1, 7))
def test_any_order_and_grouping_ends_at_the_last_number(order: list[int], size: int) -> None:
    progress, come = Progress(Shelf()), set[int]()
    for at in range(0, 20, size):
        acked = take(progress, *order[at : at + size])
        come |= set(order[at : at + size])
        assert set(range(1, acked + 1)) <= come
        assert acked + 1 not in come
        assert all(progress.known(number(seq)) == (seq in come) for seq in range(1, 21))
    assert acked == 20
    assert progress.spools_ahead == 0


def test_a_locked_database_changes_nothing_so_the_group_can_be_stored_again() -> None:
    shelf = Shelf()
    progress = Progress(shelf)
    take(progress, 3)
    shelf.locked = True
    step = progress.plan([number(1), number(2)])
    with pytest.raises(OSError, match="locked"):
        progress.store(step)
    assert not progress.known(number(2))
    shelf.locked = False
    assert take(progress, 1, 2) == 3


def test_after_a_start_all_cursors_are_read_at_once() -> None:
    shelf = Shelf({("box-1", "sightings", UUID(int=1)): 7})
    progress = Progress(shelf)
    assert progress.known(number(7))
    assert not progress.known(number(8))
    assert shelf.reads == 0


def test_numbers_beyond_the_limit_of_a_gap_are_forgotten_and_asked_for_again() -> None:
    progress = Progress(Shelf())
    assert take(progress, *range(2, MAX_AHEAD + 12)) == 0
    assert take(progress, 1) == MAX_AHEAD + 1


def test_the_oldest_of_too_many_gaps_is_forgotten_and_filled_by_sending_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ingest_order, "MAX_SPOOLS_AHEAD", 3)
    progress = Progress(Shelf())
    for agent in (1, 2, 3, 4):
        take(progress, 2, agent=agent)
    assert progress.spools_ahead == 3
    assert take(progress, 1, agent=1) == 1
    assert take(progress, 2, agent=1) == 2
    assert take(progress, 1, agent=4) == 2


def test_cached_cursors_are_bounded_and_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest_order, "MAX_CACHED", 2)
    shelf = Shelf()
    progress = Progress(shelf)
    for agent in (1, 2, 3):
        take(progress, 1, agent=agent)
    reads = shelf.reads
    assert progress.known(number(1, agent=1))
    assert shelf.reads == reads + 1
