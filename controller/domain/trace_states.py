"""What a trace says of each candidate."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from controller.domain.types import F64

I64 = NDArray[np.int64]
REJECTED, REVIEW, ACCEPTED = 0, 1, 2
STATE_NAMES: Final = ("rejected", "review", "accepted")


@dataclass(frozen=True, slots=True)
class TableTrace:
    """The trace over a table of n candidates.

    `state` (n,) one of `REJECTED`, `REVIEW`, `ACCEPTED`; `posterior` (n,); `run_odds` (n,) log
    odds against one look-alike's having made the stretch; `path` rows of the best chain in order
    of time; `confirmed` rows that a reviewer clamped; `entry_cost` log prior odds against a
    sighting out of the blue.
    """

    state: NDArray[np.int8]
    posterior: F64
    run_odds: F64
    path: I64
    confirmed: I64
    entry_cost: float

    @property
    def accepted(self) -> I64:
        """Return the rows of the accepted sightings."""
        return np.flatnonzero(self.state == ACCEPTED)

    @property
    def review(self) -> I64:
        """Return the rows that a person should look at."""
        return np.flatnonzero(self.state == REVIEW)
