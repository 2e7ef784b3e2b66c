"""Asks the controller whether every sighting is there exactly once."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from sim.errors import SimError

_SETTLE_S: Final = 30.0
_ASK_EVERY_S: Final = 1.0
_STILL_S: Final = 2.0
_FIGURE: Final = "gallery_sightings"


class Api(Protocol):
    """The controller's API, as `controller.client.ApiClient` speaks it."""

    def get(self, path: str) -> Any:
        """GET JSON."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gallery gained in a run, against what the boxes know.

    `lost`: sightings that should be there and are not. `duplicated`: more than were ever sent.
    Only a count is compared: one lost and one doubled would hide each other.
    """

    published: int
    acked: int
    gained: int

    @property
    def lost(self) -> int:
        """Acknowledged sightings that the gallery does not have; all, once all are acknowledged."""
        return max(0, self.acked - self.gained)

    @property
    def duplicated(self) -> int:
        """Sightings that the gallery has beyond all that were published."""
        return max(0, self.gained - self.published)

    @property
    def holds(self) -> bool:
        """Whether nothing was lost or duplicated."""
        return not self.lost and not self.duplicated


def gallery_count(api: Api) -> int:
    """Return how many sightings the gallery says it has."""
    figures = api.get("/v1/stats")
    try:
        return int(figures[_FIGURE])
    except (KeyError, TypeError, ValueError):
        raise SimError(f"/v1/stats: has no {_FIGURE}; use the matching controller") from None


def settled_count(api: Api, sleep: Callable[[float], None] = time.sleep) -> int:
    """Return the gallery's count once it stands still; `SimError` if it grows for 30 s."""
    before = gallery_count(api)
    for _ in range(round(_SETTLE_S / _STILL_S)):
        sleep(_STILL_S)
        now = gallery_count(api)
        if now == before:
            return now
        before = now
    raise SimError(
        "/v1/stats: the gallery grows before the run; --verify needs a controller that nobody else "
        "sends to, and the messages of an earlier run delivered"
    )


def verdict(
    api: Api, before: int, *, published: int, acked: int,
    sleep: Callable[[float], None] = time.sleep,
) -> Verdict:  # fmt: skip
    """Compare the gallery with what was published; asks for 30 s until it holds."""
    for _ in range(round(_SETTLE_S / _ASK_EVERY_S)):
        found = Verdict(published, acked, gallery_count(api) - before)
        if found.holds:
            break
        sleep(_ASK_EVERY_S)
    return found
