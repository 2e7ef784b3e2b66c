"""Who is before which camera, and while when the face is seen: the truth, before any detector."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from sim.city.cameras import AT_STOP, NOWHERE, Cameras
from sim.city.days import Day, Stays
from sim.city.draws import Draws
from sim.city.people import Crowd, wears
from sim.city.rooms import Pieces, pieces_of
from sim.city.types import F64, I8, I32, I64, U64, Bools
from sim.city.venues import RESTAURANT, Venues

PASSED, AT_DOOR, STAYED = range(3)
LOOKS_UP: Final = 0.95
"""Who faces a camera, and does not look away or walk behind somebody."""
TURNS: Final = 0.06
"""Who walks away from a camera and turns the head."""
DOOR_OUT: Final = 0.3
SPELL_S: Final = 9.0
SPELLS: Final = 32
"""Most visible spells of one piece; cycles are stretched so that a long stay needs no more."""
EATS_AFTER_S, EATS_UNTIL_S = 300.0, 90.0
SHIFT: Final = {"street": 0.08, "indoors": 0.72}
"""What a place does to the habit of wearing a mask (probit scale)."""


@dataclass(frozen=True, slots=True)
class Passages:
    """n spells in which a face was before a camera, (n,) each; seconds since the city's start.

    `row` whose (of the crowd), `near_m` least distance on the ground, `cosine` how frontal,
    `from_m`, `to_m` (n, 2) places on the camera's ground, `key` a number that names the passage.
    """

    row: I64
    camera: I32
    start_s: F64
    end_s: F64
    near_m: F64
    cosine: F64
    masked: Bools
    seated: Bools
    kind: I8
    from_m: F64
    to_m: F64
    key: U64

    def __len__(self) -> int:
        """Return n."""
        return len(self.row)

    def take(self, rows: I64 | Bools) -> "Passages":
        """Return the chosen rows as a table of their own."""
        return Passages(*(getattr(self, name)[rows] for name in self.__slots__))


class Watcher:
    """Turns days into passages before the cameras of one city."""

    def __init__(self, draws: Draws, venues: Venues, cameras: Cameras, *, eats_bare: bool) -> None:
        self._draws, self._venues, self._cameras = draws, venues, cameras
        self._eats_bare = eats_bare
        self._room_camera = cameras.inside.copy()
        watched = np.flatnonzero(cameras.sites.kind == AT_STOP)
        self._room_camera[cameras.sites.venue[watched]] = watched

    def room_camera(self, venue: I64) -> I32:
        """Return the camera that looks at the room of each venue, -1 if none."""
        return self._room_camera[venue]

    def passages(self, crowd: Crowd, day: int, life: Day) -> Passages:
        """Return what happened before cameras on one day, in order of start."""
        pieces = pieces_of(self._draws, self._venues, crowd, life.stays)
        parts = [
            self._on_streets(crowd, day, life),
            self._at_doors(crowd, day, life.stays, leaving=False),
            self._at_doors(crowd, day, life.stays, leaving=True),
            self._in_rooms(crowd, day, life.stays, pieces),
        ]
        names = Passages.__slots__
        whole = Passages(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))
        return whole.take(np.lexsort((whole.key, whole.start_s)))

    def _on_streets(self, crowd: Crowd, day: int, life: Day) -> Passages:
        walk, node, come, gone, at_s = _node_passes(life)
        camera = self._cameras.at_node[node]
        hit = np.flatnonzero(camera >= 0)
        walk, come, gone, at_s, camera = walk[hit], come[hit], gone[hit], at_s[hit], camera[hit]
        ways, at = self._cameras.ways, (camera, come, gone)
        row = life.walks.row[walk]
        key = self._draws.bits("passage", crowd.person[row], (day * 86_400e6 + at_s * 1e6).astype(
            np.int64), camera, come)  # fmt: skip
        face = np.isfinite(ways.face_from_m[at])
        luck = self._draws.uniform("looks", key)
        seen = np.where(face, luck < LOOKS_UP, (ways.back_m[at] > 2) & (luck < TURNS))
        kept = np.flatnonzero(seen)
        chosen = (camera[kept], come[kept], gone[kept])
        start_m, end_m, near_m, cosine, ends = self._stretch(chosen, face[kept], key[kept])
        speed = life.walks.speed_m_s[walk[kept]]
        slot = life.walks.slot[walk[kept]]
        row, at_s = row[kept], at_s[kept] + day * 86_400.0
        aside = np.column_stack([life.walks.lane_m[walk[kept]], np.zeros(len(kept))])
        return Passages(
            row, camera[kept], at_s + start_m / speed, at_s + end_m / speed, near_m, cosine,
            self._masked(crowd, row, day, slot, "street"), np.zeros(len(kept), bool),
            np.full(len(kept), PASSED, np.int8), ends[:, 0] + aside, ends[:, 1] + aside, key[kept],
        )  # fmt: skip

    def _stretch(
        self, at: tuple[I32, I8, I8], face: Bools, key: U64
    ) -> tuple[F64, F64, F64, F64, F64]:
        """Return where on the way a face is seen: a part of where it could be."""
        ways = self._cameras.ways
        start = np.where(face, np.nan_to_num(ways.face_from_m[at]), -1.0).astype(np.float64)
        end = np.where(face, np.nan_to_num(ways.face_to_m[at]), 0.6).astype(np.float64) + 0.5
        late, early = (0.35 * self._draws.uniform(what, key) ** 2 for what in ("late", "early"))
        length = end - start
        begins, stops = start + late * length, end - early * length
        near = np.where(face, ways.nearest_m[at], 6.0) + 0.2
        cosine = np.where(face, ways.cosine[at], 0.5) * (
            1 - 0.3 * self._draws.uniform("turned", key) ** 2)  # fmt: skip
        ends = np.where(face[:, None, None], ways.places_m[at], [[0.0, 6.5], [0.0, 6.0]])
        step = ends[:, 1] - ends[:, 0]
        cut = np.stack([ends[:, 0] + late[:, None] * step, ends[:, 1] - early[:, None] * step], 1)
        return begins, stops, near.astype(np.float64), cosine, cut

    def _at_doors(self, crowd: Crowd, day: int, stays: Stays, *, leaving: bool) -> Passages:
        camera = self._cameras.entrance[stays.venue]
        what = "out" if leaving else "in"
        person = crowd.person[stays.row]
        key = self._draws.bits(what, person, (day * 86_400e6 + stays.arrive_s * 1e6).astype(
            np.int64), camera)  # fmt: skip
        share = DOOR_OUT if leaving else LOOKS_UP
        kept = np.flatnonzero((camera >= 0) & self._draws.chance("at door", share, key))
        row, key, count = stays.row[kept], key[kept], len(kept)
        lasts = np.where(leaving, 1.6, 4.2) * (0.5 + self._draws.uniform("door for", key))
        at_s = (stays.leave_s if leaving else stays.arrive_s)[kept] + day * 86_400.0
        x = 0.8 * self._draws.normal("door x", key).clip(-1.5, 1.5)
        reach = np.minimum(self._cameras.sites.far_m[camera[kept]] - 0.3, 7.0)
        end = np.maximum(reach - 1.2 * lasts, 2.4)
        return Passages(
            row, camera[kept], at_s - lasts, at_s, end, 0.65 + 0.35 * self._draws.uniform(
                "door angle", key), self._masked(crowd, row, day, stays.slot[kept], "indoors"),
            np.zeros(count, bool), np.full(count, AT_DOOR, np.int8), np.column_stack([x, reach]),
            np.column_stack([x, end]), key,
        )  # fmt: skip

    def _in_rooms(self, crowd: Crowd, day: int, stays: Stays, pieces: Pieces) -> Passages:
        camera = self.room_camera(stays.venue[pieces.stay])
        middle = (pieces.from_m + pieces.to_m) / 2
        piece = np.flatnonzero((camera >= 0) & self.in_view(camera, middle))
        camera = camera[piece]
        key = self._draws.bits("in room", crowd.person[stays.row[pieces.stay[piece]]],
                               (day * 86_400e6 + pieces.start_s[piece] * 1e6).astype(np.int64),
                               camera)  # fmt: skip
        lasts = pieces.end_s[piece] - pieces.start_s[piece]
        which, start, end = self._spells(key, lasts)
        stay, at = pieces.stay[piece[which]], pieces.start_s[piece[which]]
        share = (start / lasts[which])[:, None], (end / lasts[which])[:, None]
        move = (pieces.to_m - pieces.from_m)[piece[which]]
        first = pieces.from_m[piece[which]]
        from_m, to_m = first + share[0] * move, first + share[1] * move
        start, end, row = at + start, at + end, stays.row[stay]
        kind = self._venues.kind[stays.venue[stay]]
        masked = self._masked(crowd, row, day, stays.slot[stay], "indoors")
        if self._eats_bare:
            eats = (kind == RESTAURANT) & (start > stays.arrive_s[stay] + EATS_AFTER_S)
            masked &= ~(eats & (end < stays.leave_s[stay] - EATS_UNTIL_S))
        own = self._draws.bits("spell", key[which], np.arange(len(which)) - np.searchsorted(
            which, which))  # fmt: skip
        return Passages(
            row, camera[which], start + day * 86_400.0, end + day * 86_400.0,
            np.hypot(*((from_m + to_m) / 2).T),
            0.45 + 0.55 * self._draws.uniform("angle", own), masked,
            np.asarray(kind == RESTAURANT), np.full(len(which), STAYED, np.int8), from_m, to_m, own,
        )  # fmt: skip

    def _spells(self, key: U64, lasts: F64) -> tuple[I64, F64, F64]:
        """Return the visible spells of stretches: which, from and until seconds after its start."""
        share = 0.08 + 0.86 * self._draws.uniform("faces", key)
        cycle = np.maximum(SPELL_S / np.minimum(share, 1 - share), lasts / (0.6 * SPELLS))
        number = np.arange(SPELLS)
        shown = -np.log(self._draws.uniform("shown", key[:, None], number))
        hidden = -np.log(self._draws.uniform("hidden", key[:, None], number))
        # Everybody's first spell is hidden by its own share, so that spells begin anywhere.
        hidden[:, 0] *= self._draws.uniform("first hidden", key)
        hidden *= (cycle * (1 - share))[:, None]
        shown *= (cycle * share)[:, None]
        ends = np.cumsum(hidden + shown, axis=1)
        starts = ends - shown
        ends = np.minimum(ends, lasts[:, None])
        which, k = np.nonzero((starts < lasts[:, None]) & (ends - starts > 0.3))
        return which, starts[which, k], ends[which, k]

    def in_view(self, camera: I32, places_m: F64) -> Bools:
        """Tell which places on the cameras' own grounds have a face of at least 28 px."""
        sites = self._cameras.sites
        far = np.hypot(*places_m.T)
        side = np.tan(sites.half_angle_rad[camera]) * places_m[:, 1]
        inside = (places_m[:, 1] > 0) & (np.abs(places_m[:, 0]) <= side)
        return np.asarray(inside & (far >= sites.near_m[camera]) & (far <= sites.far_m[camera]))

    def _masked(self, crowd: Crowd, row: I64, day: int, slot: I64, where: str) -> Bools:
        return wears(
            self._draws, crowd.mask_habit[row], SHIFT[where], crowd.person[row],
            np.asarray(day * 8 + slot),
        )  # fmt: skip


def _node_passes(life: Day) -> tuple[I64, I64, I8, I8, F64]:
    """Return each time somebody was at a node: walk, node, slot come from and gone to, when."""
    steps = life.steps
    order = np.lexsort((steps.start_s, steps.walk))
    walk, goal, start = steps.walk[order], steps.goal[order], steps.start[order]
    out, into = steps.slot_out[order], steps.slot_in[order]
    last = np.ones(len(walk), bool)
    last[:-1] = walk[1:] != walk[:-1]
    first = np.ones(len(walk), bool)
    first[1:] = walk[1:] != walk[:-1]
    onward = np.where(last, NOWHERE, np.roll(out, -1)).astype(np.int8)
    nowhere = np.full(int(first.sum()), NOWHERE, np.int8)
    return (
        np.concatenate([walk, walk[first]]),
        np.concatenate([goal, start[first]]),
        np.concatenate([into, nowhere]),
        np.concatenate([onward, out[first]]),
        np.concatenate([steps.end_s[order], steps.start_s[order][first]]),
    )
