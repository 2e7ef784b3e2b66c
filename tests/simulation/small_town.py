"""A small town for the evaluation's own tests: a grid of streets, homes, work, shops, cameras."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from controller.domain.presence import Outages
from controller.domain.trace_nodes import Anchor
from controller.domain.traffic import Traffic
from controller.domain.travel import TravelGraph, graph_of_sites
from controller.domain.types import CameraSite
from sim.evaluate.settings import EvaluateSettings
from sim.evaluate.world import Seen
from sim.faces.population import FacePopulation

BLOCK_M, DAY_S, VIEW_M = 70.0, 86_400.0, 12.0


@dataclass(frozen=True)
class Passage:
    """One tracklet: whose, where, when (true seconds), how long, how well seen, masked."""

    person: int
    camera: int
    start_s: float
    lasts_s: float
    quality: float
    masked: bool


class SmallTown:
    """Streets on a square grid; both the world of the chain and the truth of the scorer."""

    def __init__(self, settings: EvaluateSettings) -> None:
        self.days = settings.days
        self._settings = settings
        self._rng = np.random.default_rng(settings.seed)
        self._side = max(4, int(np.ceil(np.sqrt(2 * settings.cameras))))
        crossings = np.stack(np.meshgrid(np.arange(self._side), np.arange(self._side)), -1).reshape(
            -1, 2
        )
        self._places = crossings * BLOCK_M + self._rng.normal(0, 8, crossings.shape)
        count = len(crossings)
        chosen = np.sort(self._rng.choice(count, settings.cameras, replace=False))
        self._camera = np.full(count, -1)
        self._camera[chosen] = np.arange(settings.cameras)
        self._shops = self._rng.choice(count, max(2, count // 8), replace=False)
        self.graph: TravelGraph = graph_of_sites(
            {
                f"cam-{k:05d}": CameraSite(f"cam-{k:05d}", f"box-{k:05d}", *self._places[node])
                for k, node in enumerate(chosen)
            },
            radius_m=VIEW_M,
        )
        self.outages = Outages.none()
        self._fill()

    def _fill(self) -> None:
        passages = [p for person in range(self._settings.people) for p in self._life(person)]
        # The boxes' clocks are wrong by a constant each.
        wrong_s = self._rng.normal(0, self._settings.clock_error_s, self._settings.cameras)
        passages.sort(key=lambda p: p.start_s + wrong_s[p.camera])
        self._person = np.array([p.person for p in passages])
        camera = np.array([p.camera for p in passages], np.int32)
        start_s = np.array([p.start_s for p in passages]) + wrong_s[camera]
        quality = np.array([p.quality for p in passages])
        lasts_s = np.array([p.lasts_s for p in passages])
        self.seen = Seen(
            camera, (start_s * 1e6).astype(np.int64), ((start_s + lasts_s) * 1e6).astype(np.int64),
            np.full(len(camera), max(self._settings.clock_error_s, 0.2)),
            np.array([p.masked for p in passages], bool), quality, quality >= 0.1,
        )  # fmt: skip
        self.sightings_per_day = len(passages) / self.days
        self.traffic = Traffic.of(
            camera.astype(np.int64), self.seen.start_us, cameras=len(self.graph), days=self.days,
            total=len(passages),
        )  # fmt: skip
        self._faces()

    def _faces(self) -> None:
        settings, rng = self._settings, self._rng
        seen_often = np.flatnonzero(np.bincount(self._person) >= 5 * self.days)
        self.subjects = rng.choice(seen_often, settings.cases, replace=False)
        population = FacePopulation(settings.seed)
        people = population.people(rng, settings.people)
        photos = {
            state: population.sightings(
                rng, getattr(people, state)[self.subjects], state, np.full(settings.cases, 0.8)
            )
            for state in ("unmasked", "masked")
        }
        self._cosines = {s: np.zeros((len(self.seen), settings.cases), np.float32) for s in photos}
        for state, masked in (("unmasked", False), ("masked", True)):
            for rows in np.array_split(np.flatnonzero(self.seen.masked == masked), 16):
                own = getattr(people, state)[self._person[rows]]
                drawn = population.sightings(rng, own, state, self.seen.quality[rows])
                for photo, embeddings in photos.items():
                    self._cosines[photo][rows] = drawn @ embeddings.T

    def _life(self, person: int) -> list[Passage]:
        rng, nodes = self._rng, len(self._places)
        home, work = rng.integers(0, nodes, 2)
        wears, speed = rng.random() < self._settings.mask_rate, rng.lognormal(np.log(1.3), 0.15)
        found: list[Passage] = []
        for day in range(self.days):
            at_s, here = day * DAY_S + rng.normal(8, 0.7) * 3600, int(home)
            goals = [int(work)] if rng.random() < 0.8 else []
            goals += [int(shop) for shop in rng.choice(self._shops, rng.poisson(1.3))]
            for goal in [*goals, int(home)]:
                masked = bool(wears and rng.random() < 0.9)
                at_s = self._walk(found, person, (here, goal), at_s, speed, masked)
                here, left_s = goal, at_s + (9 * 3600 if goal == work else rng.exponential(2400))
                if goal in self._shops and goal != home:
                    self._stay(found, person, goal, (at_s, left_s), masked)
                at_s = left_s
        return found

    def _walk(
        self, found: list[Passage], person: int, way: tuple[int, int], at_s: float, speed: float,
        masked: bool,
    ) -> float:  # fmt: skip
        (x, y), (u, v) = (divmod(node, self._side)[::-1] for node in way)
        steps = [(int(np.sign(u - x)), 0)] * abs(u - x) + [(0, int(np.sign(v - y)))] * abs(v - y)
        here = way[0]
        for k in self._rng.permutation(len(steps)):
            x, y = x + steps[k][0], y + steps[k][1]
            there = y * self._side + x
            length_m = float(np.hypot(*(self._places[there] - self._places[here])))
            at_s += length_m / speed * self._rng.lognormal(0, 0.08)
            towards = 0.9 if (here + there) % 3 else 0.2
            self._see(found, person, there, at_s, masked, towards)
            here = there
        return at_s

    def _stay(
        self, found: list[Passage], person: int, node: int, stay: tuple[float, float], masked: bool
    ) -> None:
        at_s = stay[0] + 60
        while at_s < stay[1] - 60:
            self._see(found, person, node, at_s, masked and self._rng.random() < 0.4, 0.6)
            at_s += 45 + self._rng.exponential(240)

    def _see(
        self, found: list[Passage], person: int, node: int, at_s: float, masked: bool, share: float
    ) -> None:
        camera = int(self._camera[node])
        if camera >= 0 and self._rng.random() < share * (1 - self._settings.miss_rate):
            lasts_s, quality = self._rng.uniform(5, 20), float(self._rng.beta(4, 3))
            found.append(Passage(person, camera, at_s, lasts_s, quality, masked))

    def cosines(self, case: int, photos: Sequence[str]) -> np.ndarray:
        return np.stack([self._cosines[photo][:, case] for photo in photos], axis=1)

    def stranger_sample(self, case: int, photos: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        rows = np.linspace(0, len(self.seen) - 1, min(20_000, len(self.seen))).astype(int)
        return self.cosines(case, photos)[rows], self.seen.masked[rows].astype(np.uint8)

    def anchors(self, case: int) -> tuple[Anchor, ...]:
        return ()

    def mine(self, case: int) -> np.ndarray:
        return self._person == self.subjects[case]

    def detectable(self) -> np.ndarray:
        return self.seen.quality >= 0.1

    def passages(self, case: int) -> dict[str, int]:
        return {}
