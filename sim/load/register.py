"""Registers a fleet of load boxes with the controller: identities from one secret, on a grid."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from sim.light.identity import LightIdentity, create_fleet_secret, read_fleet_secret

ROWS_AT_ONCE: Final = 20_000
"""The API takes so many rows at a time, all or none; a larger fleet goes in several parts."""
SPACING_M: Final = 180.0


class Api(Protocol):
    """The controller's API, as `controller.client.ApiClient` speaks it."""

    def post(self, path: str, *, json: Any = None) -> Any:
        """POST JSON and return JSON."""


def fleet_secret(path: Path) -> bytes:
    """Return the fleet's secret; made (mode 0600) if the file is not there yet."""
    if path.exists():
        return read_fleet_secret(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    return create_fleet_secret(path)


def fleet_rows(secret: bytes, first: int, count: int) -> Iterator[dict[str, object]]:
    """Give the rows of boxes `first` to `first + count - 1`, on a square grid of 180 m."""
    for number in range(first, first + count):
        x_m, y_m = place_m(number)
        yield {**LightIdentity.derive(secret, number).public(), "x_m": x_m, "y_m": y_m}


def place_m(number: int) -> tuple[float, float]:
    """Return where a box (1 and on) stands: square after square grows from the origin."""
    ring = math.isqrt(number - 1)
    beyond = number - 1 - ring * ring
    across, up = (ring, beyond) if beyond <= ring else (2 * ring - beyond, ring)
    return across * SPACING_M, up * SPACING_M


def register(api: Api, rows: Sequence[dict[str, object]]) -> int:
    """Register rows, at most 20,000 at once; return how many were added."""
    return sum(
        int(api.post("/v1/fleet", json=list(rows[at : at + ROWS_AT_ONCE]))["added"])
        for at in range(0, len(rows), ROWS_AT_ONCE)
    )
