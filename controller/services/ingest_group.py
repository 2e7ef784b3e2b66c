"""Sorting what came into one group: checked, told from what is durable already, made into rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from controller.services.clock_offsets import ClockOffsets
from controller.services.ingest_batches import CheckedBatch, Handed, Numbered, Outcome, Refused
from controller.services.ingest_checks import Checker, MessageRefused, place
from controller.services.ingest_order import Progress
from controller.services.ingest_queue import Item
from controller.services.ports import Clock, Delivery, GalleryRow
from wire.messages import AgentState, Health, Reply
from wire.topics import ParsedTopic


@dataclass(slots=True)
class Group:
    """Messages that become durable together; filled once, stored as often as it takes."""

    rows: list[GalleryRow] = field(default_factory=list)
    sent_us: list[int] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    heard: list[AgentState | Health] = field(default_factory=list)
    numbers: set[Numbered] = field(default_factory=set)
    settle: list[Callable[[], None]] = field(default_factory=list)
    batches: int = 0
    repeated: int = 0


class Sorter:
    """Fills groups; changes nothing that is durable, so a group may be sorted again."""

    def __init__(
        self, checker: Checker, progress: Progress, offsets: ClockOffsets, clock: Clock
    ) -> None:
        self._checker, self._progress = checker, progress
        self._offsets, self._clock = offsets, clock

    def sort(self, items: Sequence[Item]) -> Group:
        """Return the group of these items."""
        group = Group()
        for item in items:
            if isinstance(item, Handed):
                for outcome in item.outcomes:
                    self._take(outcome, group, again=item.again)
            else:
                self._deliver(item, group)
            group.settle.append(item.settle)
        return group

    def _deliver(self, delivery: Delivery, group: Group) -> None:
        topic, payload = delivery.topic, delivery.payload
        try:
            parsed = place(topic)
            if parsed.kind == "sightings":
                now_us = self._clock.now_us()
                self._take(self._checker.take_batch(parsed, payload, now_us), group)
            else:
                self._hear(parsed, payload, group)
        except MessageRefused as error:
            refused = Refused(topic, payload, error.reason, error.detail, error.number)
            self._take(refused, group)

    def _hear(self, parsed: ParsedTopic, payload: bytes, group: Group) -> None:
        message = self._checker.take_other(parsed, payload)
        if isinstance(message, Reply):
            group.replies.append(message)
            group.numbers.add(Numbered(message.agent_id, "replies", message.spool_id, message.seq))
            return
        group.heard.append(message)
        if isinstance(message, Health):
            self._offsets.saw_health(
                message.agent_id, message.at_us, self._clock.now_us(), message.clock_offset_s
            )

    def _take(self, outcome: Outcome, group: Group, *, again: bool = False) -> None:
        number = outcome.number
        repeated = number is not None and (number in group.numbers or self._progress.known(number))
        if isinstance(outcome, CheckedBatch):
            group.batches += 1
        if number is not None and repeated and not again:
            # Told once more: the acknowledgement may have been lost.
            group.numbers.add(number)
            group.repeated += 1
        elif isinstance(outcome, Refused):
            group.refused.append(outcome)
        else:
            group.numbers.add(outcome.number)
            self._add_rows(outcome, group)

    def _add_rows(self, batch: CheckedBatch, group: Group) -> None:
        correction = self._offsets.saw_batch(
            batch.number.agent_id, batch.sent_us, batch.received_us
        )
        group.rows.extend(batch.rows(correction))
        group.sent_us.append(batch.sent_us + round(correction.offset_s * 1e6))
