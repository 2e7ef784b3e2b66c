"""The synthetic city as the chain sees it."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from controller.domain.presence import Outages
from controller.domain.trace_nodes import Anchor
from controller.domain.traffic import Traffic
from controller.domain.travel import TravelGraph, graph_of_links
from controller.domain.types import F32
from sim.city.city import City
from sim.city.types import CityPlan, Down, Links, Said, Sites
from sim.evaluate.settings import EvaluateSettings
from sim.evaluate.world import Seen

VIEW_M: Final = 15.0
"""How far from its place a camera is taken to see people."""
MAX_SAMPLE: Final = 400_000


def plan_of(settings: EvaluateSettings) -> CityPlan:
    """Return the city that an evaluation asks for."""
    return CityPlan(
        seed=settings.seed, cameras=settings.cameras, people=settings.people, days=settings.days,
        cases=settings.cases, mask_rate=settings.mask_rate, clock_error_s=settings.clock_error_s,
        miss_rate=settings.miss_rate,
    )  # fmt: skip


class CityWorld:
    """One city: its cameras, what their boxes hold, and each case's cosines with it.

    `least` leaves out what is less similar than that to every photo of every case.
    """

    def __init__(self, city: City, photos: Sequence[str], *, least: float | None = None) -> None:
        self.days = city.plan.days
        self._photos = tuple(photos)
        probes = city.probes(self._photos)
        chunk = city.gathered(probes, least=least)
        rows = chunk.rows
        self.sightings = rows.sighting
        self.seen = Seen(
            rows.camera, rows.start_us, rows.end_us, rows.time_uncertainty_s.astype(np.float64),
            rows.masked, rows.quality.astype(np.float64), rows.published,
        )  # fmt: skip
        self.sightings_per_day = chunk.count / self.days
        self.graph = graph_of(city.sites, city.links)
        self.outages = outages_of(city.down)
        self.traffic = Traffic.of(
            rows.camera.astype(np.int64), rows.start_us, cameras=len(self.graph),
            days=self.days, total=chunk.count,
        )  # fmt: skip
        self._cosines, self._of = chunk.cosines, probes.case
        some = slice(None, None, max(1, len(chunk.sample) // MAX_SAMPLE))
        self._sample, self._sample_masked = chunk.sample[some], chunk.sample_masked[some]
        self._anchors = anchors_of(city.said(), city.plan.cases)

    def cosines(self, case: int, photos: Sequence[str]) -> F32:
        """Return (n, p) cosines of all tracklets with a case's photos of these mask states."""
        return self._cosines[:, self._columns(case, photos)]

    def stranger_sample(self, case: int, photos: Sequence[str]) -> tuple[F32, NDArray[np.uint8]]:
        """Return (s, p) cosines of an even sample of the sightings, and their mask states."""
        columns = self._columns(case, photos)
        return self._sample[:, columns], self._sample_masked.astype(np.uint8)

    def anchors(self, case: int) -> tuple[Anchor, ...]:
        """Return what the person said."""
        return self._anchors[case]

    def _columns(self, case: int, photos: Sequence[str]) -> NDArray[np.int64]:
        mine = np.flatnonzero(self._of == case)
        return mine[[self._photos.index(name) for name in photos]]


def graph_of(sites: Sites, links: Links) -> TravelGraph:
    """Return the camera graph of a city's network on foot; a camera is where it looks."""
    places = np.stack([sites.around_x_m, sites.around_y_m], axis=1)
    ways = links.start, links.goal, links.walk_s
    return graph_of_links(sites.camera_ids, sites.agent_ids, places, ways, radius_m=VIEW_M)


def outages_of(down: Down) -> Outages:
    """Return when cameras are known to have seen nothing."""
    columns = down.camera.tolist(), down.start_us.tolist(), down.end_us.tolist()
    return Outages.of(list(zip(*columns, strict=True)))


def anchors_of(said: Said, cases: int) -> list[tuple[Anchor, ...]]:
    """Return what the subject of each case said."""
    return [
        tuple(
            Anchor(
                f"said-{k}", float(said.x_m[k]), float(said.y_m[k]), float(said.radius_m[k]),
                int(said.start_us[k]), int(said.end_us[k]), float(said.time_uncertainty_s[k]),
            )
            for k in np.flatnonzero(said.case == case)
        )
        for case in range(cases)
    ]  # fmt: skip
