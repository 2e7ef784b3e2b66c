"""Cameras: where they stand, what they see of a street, when they are down, their clocks."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from sim.city.draws import Draws
from sim.city.streets import SLOTS, Streets
from sim.city.types import (
    DAY_US,
    F32,
    F64,
    I32,
    I64,
    START_US,
    Bools,
    CityPlan,
    Down,
    Sites,
)  # fmt: skip
from sim.city.venues import RESTAURANT, SHOP, STOP, WORK, Venues
from sim.scenes.camera import FACE_WIDTH_M, HEAD_PLANE_M, NEAREST_M, PoleCamera, draw_camera

STREET, AT_STOP, ENTRANCE, INSIDE = range(4)
STOP_SHARE, ENTRANCE_SHARE, INSIDE_SHARE = 0.04, 0.20, 0.18
"""Shares of all cameras; the rest is on streets."""
AHEAD_M: Final = 6.0
"""A street camera looks at a spot so far ahead of its pole."""
WAY_M: Final = 14.0
STEP_M: Final = 0.5
LANE_M: Final = 1.0
SEEN_COS: Final = 0.34
"""A face turned away more than 70 degrees is not seen."""
NOWHERE: Final = SLOTS
"""Slot of a way that begins or ends at the node."""
DOWN_PER_DAY: Final = 0.12
DOWN_MEDIAN_S: Final = 1500.0
LEAST_CLAIM_S: Final = 0.05
INDOOR_HEIGHT_M: Final = (2.7, 3.4)


@dataclass(frozen=True, slots=True)
class Cameras:
    """c cameras: `sites`, their optics, and where they are looked up from.

    `at_node` (n,) camera on a street or at a stop, -1 if none; `entrance`, `inside` (v,) camera of
    a venue; `ways` of the street cameras; `node` (c,) where each belongs to the streets;
    `clock_s`, `drift_s_per_day`, `claim_s` (c,) how far ahead clocks are and what boxes claim.
    """

    sites: Sites
    optics: tuple[PoleCamera, ...]
    at_node: I32
    entrance: I32
    inside: I32
    ways: "Ways"
    down: Down
    node: I64
    clock_s: F64
    drift_s_per_day: F64
    claim_s: F32

    def clock_error_s(self, camera: I32, at_s: F64) -> F64:
        """Return how far ahead the boxes' clocks are, seconds since the city's start."""
        return np.asarray(self.clock_s[camera] + self.drift_s_per_day[camera] * at_s / 86_400.0)

    def is_down(self, camera: I32, start_s: F64, end_s: F64) -> Bools:
        """Tell which passages have their middle in an interval in which the camera was down."""
        if not len(self.down):
            return np.zeros(len(camera), bool)
        middle_us = START_US + ((start_s + end_s) * 0.5e6).astype(np.int64)
        # One camera's intervals do not overlap and are in order: the last begun before decides.
        span_us = np.int64(64 * DAY_US)
        key = self.down.camera * span_us + (self.down.start_us - START_US)
        mine = camera.astype(np.int64) * span_us + (middle_us - START_US)
        at = np.maximum(np.searchsorted(key, mine, "right") - 1, 0)
        inside = (self.down.start_us[at] <= middle_us) & (middle_us < self.down.end_us[at])
        return np.asarray(inside & (self.down.camera[at] == camera))


@dataclass(frozen=True, slots=True)
class Ways:
    """What a street camera sees of somebody who passes its node: (c, SLOTS + 1, SLOTS + 1) each.

    Indices: camera, slot come from, slot gone to; `NOWHERE` for ends. `face_from_m`, `face_to_m`
    between which positions along the way (0 at the node) the face is seen, NaN if never; `back_m`
    length of what is seen otherwise; `nearest_m` least distance and `cosine` best angle of the
    face; `places_m` (..., 2, 2) the ends of the stretch on the camera's own ground.
    """

    face_from_m: F32
    face_to_m: F32
    nearest_m: F32
    cosine: F32
    back_m: F32
    places_m: F32


def set_up_cameras(plan: CityPlan, draws: Draws, streets: Streets, venues: Venues) -> Cameras:
    """Place exactly `plan.cameras` cameras and draw their views, failures and clocks."""
    rng = np.random.default_rng([plan.seed, 2])
    entrance, inside = _venue_cameras(rng, venues, plan.cameras)
    nodes, stops = _node_cameras(rng, streets, venues, plan.cameras - len(entrance) - len(inside))
    kind = np.repeat([STREET, AT_STOP, ENTRANCE, INSIDE],
                     [len(nodes) - len(stops), len(stops), len(entrance), len(inside)])  # fmt: skip
    venue = np.concatenate([np.full(len(nodes) - len(stops), -1), stops, entrance, inside])
    node = np.concatenate([nodes, venues.node[entrance], venues.node[inside]]).astype(np.int64)
    order = rng.permutation(plan.cameras)
    kind, venue, node = kind[order], venue[order].astype(np.int32), node[order]
    optics = tuple(_optics(rng, int(k)) for k in kind)
    sites = _sites(rng, streets, kind, venue, node, optics)
    at_node = _lookup(len(streets), node, kind <= AT_STOP)
    clock_s = plan.clock_error_s * rng.standard_normal(plan.cameras)
    if plan.hour_off:
        clock_s[int(rng.integers(plan.cameras))] += 3600.0
    claim = np.maximum(plan.clock_error_s * np.exp(0.25 * rng.standard_normal(plan.cameras)), 0.0)
    return Cameras(
        sites=sites,
        optics=optics,
        at_node=at_node,
        entrance=_lookup(len(venues), venue, kind == ENTRANCE),
        inside=_lookup(len(venues), venue, kind == INSIDE),
        ways=ways_past(streets, sites, node),
        down=_down(plan, draws),
        node=node,
        clock_s=clock_s,
        drift_s_per_day=0.1 * plan.clock_error_s * rng.standard_normal(plan.cameras),
        claim_s=np.maximum(claim, LEAST_CLAIM_S).astype(np.float32),
    )


def _lookup(size: int, place: I32 | I64, chosen: Bools) -> I32:
    out = np.full(size, -1, np.int32)
    out[place[chosen]] = np.flatnonzero(chosen)
    return out


def _venue_cameras(rng: np.random.Generator, venues: Venues, total: int) -> tuple[I64, I64]:
    """Choose venues with a camera at the door, and with one inside; busy kinds first."""
    eating = np.concatenate([venues.of_kind(SHOP), venues.of_kind(RESTAURANT)])
    inside = rng.choice(eating, min(round(INSIDE_SHARE * total), len(eating)), replace=False)
    doors = np.flatnonzero((venues.kind != STOP) & ((venues.kind != WORK) | (rng.random(len(
        venues)) < 0.6)))  # fmt: skip
    entrance = rng.choice(doors, min(round(ENTRANCE_SHARE * total), len(doors)), replace=False)
    return np.sort(entrance), np.sort(inside)


def _node_cameras(
    rng: np.random.Generator, streets: Streets, venues: Venues, count: int
) -> tuple[I64, I64]:
    """Return the nodes with a camera, and the stops that the last of them watch."""
    stops = venues.of_kind(STOP)
    _, first = np.unique(venues.node[stops], return_index=True)
    stops = stops[first]
    watched = min(len(stops), round(STOP_SHARE * count / 0.58), count)
    chosen = np.sort(rng.choice(stops, watched, replace=False))
    free = np.setdiff1d(np.arange(len(streets)), venues.node[chosen])
    street = np.sort(rng.choice(free, count - watched, replace=False))
    return np.concatenate([street, venues.node[chosen]]).astype(np.int64), chosen


def _optics(rng: np.random.Generator, kind: int) -> PoleCamera:
    indoor = kind >= ENTRANCE
    return draw_camera(rng, height_m=float(rng.uniform(*INDOOR_HEIGHT_M)) if indoor else None)


def _sites(
    rng: np.random.Generator, streets: Streets, kind: I64, venue: I32, node: I64,
    optics: tuple[PoleCamera, ...],
) -> Sites:  # fmt: skip
    count = len(kind)
    # A street camera looks along one of its streets, more or less.
    there = np.maximum(streets.beside[node, 0], 0)
    odd = streets.beside[node, 1]
    there = np.where((rng.random(count) < 0.5) & (odd >= 0), odd, there)
    along = streets.places_m[there] - streets.places_m[node]
    facing = np.arctan2(along[:, 1], along[:, 0]) + rng.normal(0, 0.25, count)
    facing = np.where(kind >= ENTRANCE, rng.uniform(-np.pi, np.pi, count), facing)
    # Behind a door is off the street.
    aside = np.where(kind >= ENTRANCE, rng.uniform(8, 16, count), 0.0)
    way = rng.uniform(-np.pi, np.pi, count)
    around = streets.places_m[node] + aside[:, None] * np.column_stack([np.cos(way), np.sin(way)])
    foot = around - AHEAD_M * np.column_stack([np.cos(facing), np.sin(facing)])
    width = len(str(count))
    return Sites(
        camera_ids=tuple(f"cam-{k:0{width}d}" for k in range(count)),
        agent_ids=tuple(f"box-{k:0{width}d}" for k in range(count)),
        x_m=foot[:, 0],
        y_m=foot[:, 1],
        height_m=np.array([one.height_m for one in optics]),
        facing_rad=facing,
        half_angle_rad=np.array([np.arctan(o.width_px / 2 / o.focal_px) for o in optics]),
        near_m=np.full(count, NEAREST_M),
        far_m=np.array([one.reach_m for one in optics]),
        around_x_m=around[:, 0],
        around_y_m=around[:, 1],
        venue=venue,
        indoor=np.asarray(kind >= ENTRANCE),
        kind=kind.astype(np.int8),
    )


def ways_past(streets: Streets, sites: Sites, node: I64) -> Ways:
    """Return what each camera sees of each way past its node; a few hundred cameras at a time."""
    parts = [
        _some_ways(streets, sites, node, np.arange(first, min(first + 500, len(sites))))
        for first in range(0, len(sites), 500)
    ]
    columns = [np.concatenate([getattr(part, name) for part in parts]) for name in Ways.__slots__]
    return Ways(*columns)


def _some_ways(streets: Streets, sites: Sites, node: I64, some: I64) -> Ways:
    along = np.arange(-WAY_M, WAY_M + 1e-9, STEP_M)
    place, heading, real = _walked(streets, node[some], along)
    foot = np.column_stack([sites.x_m[some], sites.y_m[some]])[:, None, None, None]
    ahead = np.array([np.cos(sites.facing_rad[some]), np.sin(sites.facing_rad[some])])
    ahead = np.moveaxis(ahead, 0, -1)[:, None, None, None]
    right = np.stack([ahead[..., 1], -ahead[..., 0]], -1)
    away = place - foot
    x, y = (away * right).sum(-1), (away * ahead).sum(-1)
    far = np.hypot(x, y)
    shape = (len(some), 1, 1, 1)
    inside = (y > 0) & (np.abs(x) <= y * np.tan(sites.half_angle_rad[some]).reshape(shape))
    inside &= far >= sites.near_m[some].reshape(shape)
    inside &= (far <= sites.far_m[some].reshape(shape)) & real
    cosine = -(heading * away).sum(-1) / np.maximum(far, 0.1)
    face = inside & (cosine > SEEN_COS)
    return _as_ways(along, face, inside, far, cosine, np.stack([x, y], -1))


def _walked(streets: Streets, node: I64, along: F64) -> tuple[F64, F64, Bools]:
    """Return places, headings (c, in, out, s, 2) and whether there is such a way (..., s)."""
    here = streets.places_m[node]
    beside = streets.beside[node]
    away = streets.places_m[np.maximum(beside, 0)] - here[:, None]
    away /= np.maximum(np.linalg.norm(away, axis=-1, keepdims=True), 1e-9)
    nothing = np.zeros((len(node), 1, 2))
    way = np.concatenate([away, nothing], axis=1)
    there = np.concatenate([beside >= 0, np.ones((len(node), 1), bool)], axis=1)
    before = (along < 0)[:, None]
    come = way[:, :, None, None] + 0 * way[:, None, :, None]
    gone = way[:, None, :, None] + 0 * come
    heading = np.where(before, -come, gone)
    # People keep to the right of the street.
    lane = LANE_M * np.stack([heading[..., 1], -heading[..., 0]], -1)
    place = here[:, None, None, None] + np.abs(along)[:, None] * np.where(before, come, gone) + lane
    real = (there[:, :, None] & there[:, None, :])[..., None] & (np.abs(heading).sum(-1) > 0)
    return place, heading, np.asarray(real)


def _as_ways(along: F64, face: Bools, inside: Bools, far: F64, cosine: F64, own: F64) -> Ways:
    any_face = face.any(axis=-1)
    first = face.argmax(axis=-1)
    last = len(along) - 1 - face[..., ::-1].argmax(axis=-1)
    ends = [
        np.take_along_axis(own, at[..., None, None], axis=-2)[..., 0, :] for at in (first, last)
    ]
    return Ways(
        face_from_m=np.where(any_face, along[first], np.nan).astype(np.float32),
        face_to_m=np.where(any_face, along[last], np.nan).astype(np.float32),
        nearest_m=np.where(face, far, 99.0).min(axis=-1).astype(np.float32),
        cosine=np.where(face, cosine, 0.0).max(axis=-1).astype(np.float32),
        back_m=((inside & ~face).sum(axis=-1) * STEP_M).astype(np.float32),
        places_m=np.stack(ends, axis=-2).astype(np.float32),
    )


def face_px(optics: tuple[PoleCamera, ...], camera: I32, ground_m: F64) -> F64:
    """Return how wide a face is, in pixels, so far away on the ground."""
    focal = np.array([one.focal_px for one in optics])[camera]
    rise = np.array([one.height_m for one in optics])[camera] - HEAD_PLANE_M
    return np.asarray(focal * FACE_WIDTH_M / np.hypot(ground_m, rise))


def _down(plan: CityPlan, draws: Draws) -> Down:
    """Draw at most one interval per camera and day; it ends before midnight at the latest."""
    camera, day = np.divmod(np.arange(plan.cameras * plan.days), plan.days)
    hit = draws.chance("down", DOWN_PER_DAY, camera, day)
    camera, day = camera[hit], day[hit]
    begins_s = 86_000 * draws.uniform("down from", camera, day)
    lasts_s = DOWN_MEDIAN_S * np.exp(1.0 * draws.normal("down for", camera, day))
    ends_s = np.minimum(begins_s + lasts_s, 86_400.0)
    start_us = START_US + day * DAY_US + (begins_s * 1e6).astype(np.int64)
    end_us = START_US + day * DAY_US + (ends_s * 1e6).astype(np.int64)
    return Down(camera.astype(np.int64), start_us, end_us)
