"""Quarantine for people: look at refused messages, send them through ingest again, discard them."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from controller.services.ingest_batches import ACKNOWLEDGED, Handed, Reason
from controller.services.ingest_checks import Checker, MessageRefused, place
from controller.services.ingest_ports import Quarantined, QuarantineStore
from controller.services.ingest_queue import Item
from controller.services.ports import Delivery
from controller.services.refusals import Invalid, NotFound
from controller.services.stores import AuditStore
from controller.services.values import Principal
from wire.errors import WireError
from wire.messages import SightingBatch
from wire.signing import peek

MAX_LISTED: Final = 200
MAX_AT_ONCE: Final = 100
"""Messages of one replay or discard; more are refused: ask again for the rest."""
REPLAY_WAIT_S: Final = 30.0
"""How long a replay waits for durable; what takes longer stays in quarantine until it is done."""
_HELD: Final = frozenset(reason.value for reason in ACKNOWLEDGED)


@dataclass(frozen=True, slots=True)
class Glance:
    """What may be shown of a refused batch: whose it says it is and how much, never a template.

    `trusted` says whether its signature was checked.
    """

    agent_id: str
    camera_id: str
    space_id: str
    variant: str
    seq: int
    sent_us: int
    sightings: int
    trusted: bool


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of one replayed message: `taken`, `waiting`, `gone` or `refused: why`."""

    position: int
    outcome: str


class QuarantineService:
    """All that a technician or an administrator may do with refused messages; audited."""

    def __init__(
        self, store: QuarantineStore, checker: Checker, deliver: Callable[[Item], None],
        audit: AuditStore, now_us: Callable[[], int],
    ) -> None:  # fmt: skip
        self._store, self._checker, self._deliver = store, checker, deliver
        self._audit, self._now_us = audit, now_us

    def kept(self) -> dict[str, int]:
        """Return how many are kept, by reason code."""
        return self._store.kept()

    def listed(
        self, *, code: str | None = None, after: int = 0, limit: int = 50
    ) -> list[Quarantined]:
        """Return kept messages beyond a position, at most 200, without their payloads."""
        if code is not None and code not in {one.value for one in Reason}:
            known = ", ".join(one.value for one in Reason)
            raise Invalid("reason", f"use one of {known}")
        if not 1 <= limit <= MAX_LISTED:
            raise Invalid("limit", f"use 1 to {MAX_LISTED}")
        return self._store.listed(code=code, after=after, limit=limit)

    def show(self, position: int) -> tuple[Quarantined, Glance | None]:
        """Return one message, and what its batch says if it can be decoded."""
        found = self._store.one(position)
        if found is None:
            raise NotFound("position", f"{position} is not in quarantine (any more)")
        return found, _glance(found)

    def discard(self, positions: Sequence[int], by: Principal) -> int:
        """Forget messages for good; return how many were there."""
        removed = self._store.remove(_bounded(positions))
        self._note("quarantine.discarded", positions, removed, by)
        return removed

    def replay(self, positions: Sequence[int], by: Principal) -> list[Replayed]:
        """Send messages through ingest again; those that are durable now leave quarantine."""
        ways = [(position, self._start(position)) for position in _bounded(positions)]
        pause = threading.Event()
        waited_s = 0.0
        while waited_s < REPLAY_WAIT_S and any(
            isinstance(way, threading.Event) and not way.is_set() for _, way in ways
        ):
            pause.wait(0.05)
            waited_s += 0.05
        outcomes = [Replayed(position, _outcome(way)) for position, way in ways]
        taken = sum(one.outcome == "taken" for one in outcomes)
        self._note("quarantine.replayed", positions, taken, by)
        return outcomes

    def _start(self, position: int) -> threading.Event | str:
        found = self._store.one(position)
        if found is None:
            return "gone"
        done = threading.Event()

        def settle() -> None:
            # Only now: what is durable twice counts once, what is nowhere is lost.
            self._store.remove([position])
            done.set()

        try:
            self._deliver(self._checked(found, settle))
        except MessageRefused as error:
            return f"refused: {error}"
        return done

    def _checked(self, found: Quarantined, settle: Callable[[], None]) -> Item:
        parsed = place(found.topic)
        if parsed.kind == "sightings":
            batch = self._checker.take_batch(parsed, found.payload, self._now_us())
            # Acknowledged when it was refused, so its number says nothing about the gallery.
            return Handed((batch,), settle, again=found.code in _HELD)
        self._checker.take_other(parsed, found.payload)
        return Delivery(found.topic, found.payload, settle)

    def _note(self, action: str, positions: Sequence[int], done: int, by: Principal) -> None:
        self._audit.append(
            at_us=self._now_us(), actor=by.name, action=action, subject=f"{done} messages",
            detail=",".join(str(one) for one in positions),
        )  # fmt: skip


def _bounded(positions: Sequence[int]) -> list[int]:
    unique = sorted(set(positions))
    if not 1 <= len(unique) <= MAX_AT_ONCE:
        raise Invalid("positions", f"give 1 to {MAX_AT_ONCE} of them")
    return unique


def _outcome(way: threading.Event | str) -> str:
    if isinstance(way, str):
        return way
    return "taken" if way.is_set() else "waiting"


def _glance(found: Quarantined) -> Glance | None:
    try:
        batch = peek(SightingBatch, found.payload)
    except WireError:
        return None
    return Glance(
        agent_id=batch.agent_id, camera_id=batch.camera_id, space_id=batch.space_id,
        variant=batch.variant, seq=batch.seq, sent_us=batch.sent_us,
        sightings=len(batch.sightings), trusted=found.code in _HELD,
    )  # fmt: skip
