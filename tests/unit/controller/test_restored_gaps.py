"""Gaps that a restore left close after a while; all others are waited for."""

from uuid import UUID

from controller.services.ingest_batches import Numbered
from controller.services.ingest_order import Progress
from controller.services.restored_gaps import PATIENCE_S, WATCHED_S, RestoredGaps
from tests.unit.controller.test_ingest_order import Shelf

SPOOL = UUID(int=1)
PATIENCE_US = int(PATIENCE_S * 1e6)


class Desk:
    """Cursors that were restored at 100, and a clock that is set by hand."""

    def __init__(self, restored_us: int | None = 0) -> None:
        self.now_us = 1_000
        self.shelf = Shelf({("box-1", "sightings", SPOOL): 100})
        self.progress = Progress(self.shelf, RestoredGaps(restored_us, lambda: self.now_us))

    def take(self, *seqs: int) -> int:
        numbers = [Numbered("box-1", "sightings", SPOOL, seq) for seq in seqs]
        step = self.progress.plan(numbers)
        self.progress.store(step)
        return step.cursors[0].acked_seq


def test_what_the_lost_controller_acknowledged_is_passed_after_a_while() -> None:
    desk = Desk()
    assert desk.take(151, 152) == 100
    desk.now_us += PATIENCE_US - 1
    assert desk.take(153) == 100
    desk.now_us += 1
    assert desk.take(154) == 154
    assert desk.take(155) == 155


def test_what_is_sent_again_meanwhile_counts() -> None:
    desk = Desk()
    assert desk.take(154) == 100
    assert desk.take(151, 152) == 100
    desk.now_us += PATIENCE_US
    # 153 never came: the gap of the restore ends at 151, and this one is waited for.
    assert desk.take(155) == 152
    desk.now_us += 10 * PATIENCE_US
    assert desk.take(156) == 152
    assert desk.take(153) == 156


def test_a_spool_without_such_a_gap_is_like_any_other() -> None:
    desk = Desk()
    assert desk.take(101) == 101
    desk.now_us += 10 * PATIENCE_US
    assert desk.take(103) == 101
    desk.now_us += 10 * PATIENCE_US
    assert desk.take(104) == 101


def test_a_database_that_is_locked_just_then_changes_nothing() -> None:
    desk = Desk()
    desk.take(151)
    desk.now_us += PATIENCE_US
    desk.shelf.locked = True
    try:
        desk.take(152)
    except OSError:
        desk.shelf.locked = False
    assert desk.take(152) == 152


def test_without_a_restore_and_long_after_one_every_gap_is_waited_for() -> None:
    for desk in (Desk(restored_us=None), Desk()):
        if desk.progress._gaps is not None:
            desk.now_us += int(WATCHED_S * 1e6)
        desk.take(151)
        desk.now_us += 10 * PATIENCE_US
        assert desk.take(152) == 100
