"""Looking after the gallery by hand: what it holds, whether it is whole, and erasing days early."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from controller.services.keys import KeyService
from controller.services.refusals import Invalid
from controller.services.stores import AuditStore
from controller.services.values import Principal
from wire.times import epoch_of_us

MAX_REASON_CHARS: Final = 256


class CaredGallery(Protocol):
    """The gallery as its care needs it."""

    def stats(self) -> dict[str, int]:
        """Return rows, epochs, segments and bytes."""

    def verify(self) -> list[str]:
        """Return one line per difference between table and search files."""

    def rebuild(self) -> int:
        """Make the search files anew; return the number of sightings."""

    def purge_before(self, epoch: int) -> int:
        """Drop every epoch before this one; return how many were dropped."""


@dataclass(frozen=True, slots=True)
class Purged:
    """What a purge erased."""

    days_dropped: int
    keys_destroyed: int


class GalleryCare:
    """One care at a time; ingest waits while the search files are compared or made anew."""

    def __init__(
        self, gallery: CaredGallery, keys: KeyService, audit: AuditStore,
        now_us: Callable[[], int], retention_days: int,
    ) -> None:  # fmt: skip
        self._gallery, self._keys, self._audit = gallery, keys, audit
        self._now_us, self._retention_days = now_us, retention_days
        self._busy = threading.Lock()

    def stats(self) -> dict[str, int]:
        """Return what the gallery holds and takes on the disk."""
        return self._gallery.stats()

    def verify(self) -> list[str]:
        """Compare table and search files; no line means that they agree."""
        with self._busy:
            return self._gallery.verify()

    def rebuild(self, who: Principal) -> int:
        """Make the search files anew from the table; return the number of sightings."""
        with self._busy:
            rows = self._gallery.rebuild()
        self._note(who, "gallery_rebuilt", f"{rows} sightings")
        return rows

    def purge(self, before_epoch: int, who: Principal, reason: str = "") -> Purged:
        """Erase all days before one, with their keys; `Invalid` if retention still protects them.

        With a reason, days inside the retention period go too; the reason is audited.
        """
        today = epoch_of_us(self._now_us())
        if before_epoch > today:
            raise Invalid("before", "is in the future; give today or an earlier day")
        protected = today - self._retention_days
        if before_epoch > protected and not reason.strip():
            raise Invalid(
                "reason",
                f"is missing: days from {protected} on are inside the retention period of "
                f"{self._retention_days} days; say why they must go",
            )
        with self._busy:
            # Keys first: a day whose rows are left by a crash means nothing without its key.
            destroyed = self._keys.destroy_before(before_epoch)
            dropped = self._gallery.purge_before(before_epoch)
        detail = f"before epoch {before_epoch}: {dropped} days, {len(destroyed)} keys; {reason}"
        self._note(who, "gallery_purged", detail[:MAX_REASON_CHARS])
        return Purged(dropped, len(destroyed))

    def _note(self, who: Principal, action: str, detail: str) -> None:
        self._audit.append(
            at_us=self._now_us(), actor=who.name, action=action, subject="gallery", detail=detail
        )
