"""What the chain may see of a city: what agents hold, never who it was."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from controller.domain.presence import Outages
from controller.domain.trace_nodes import Anchor
from controller.domain.traffic import Traffic
from controller.domain.travel import TravelGraph
from controller.domain.types import F32, F64


@dataclass(frozen=True, slots=True)
class Seen:
    """n tracklets that agents hold, (n,) each, in order of start.

    `camera` a place in the graph; times in µs by the agent's clock; `masked`; `published` False
    for those that stay on the box until it is asked.
    """

    camera: NDArray[np.int32]
    start_us: NDArray[np.int64]
    end_us: NDArray[np.int64]
    time_uncertainty_s: F64
    masked: NDArray[np.bool_]
    quality: F64
    published: NDArray[np.bool_]

    def __len__(self) -> int:
        """Return n."""
        return len(self.camera)


class World(Protocol):
    """One city as the controller and its agents see it.

    `sightings_per_day`: of everybody, also where `seen` holds only those above a tail.
    """

    graph: TravelGraph
    seen: Seen
    outages: Outages
    traffic: Traffic
    days: int
    sightings_per_day: float

    def cosines(self, case: int, photos: Sequence[str]) -> F32:
        """Return (n, p) cosines of all tracklets with a case's photos of these mask states."""

    def stranger_sample(self, case: int, photos: Sequence[str]) -> tuple[F32, NDArray[np.uint8]]:
        """Return (s, p) cosines of an even sample of the sightings, and their mask states."""

    def anchors(self, case: int) -> tuple[Anchor, ...]:
        """Return what the person said."""


class Truth(Protocol):
    """What only the scorer may ask."""

    def mine(self, case: int) -> NDArray[np.bool_]:
        """Return (n,) whether each tracklet is the subject's."""

    def detectable(self) -> NDArray[np.bool_]:
        """Return (n,) whether a face of at least 28 px was seen for at least a second."""

    def passages(self, case: int) -> dict[str, int]:
        """Return how often the subject passed a camera, and what became of it."""
