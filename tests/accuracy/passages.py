"""Street scenes at detection level with ground truth: what a detector would report, all seeded.

Metres from the pole's foot (x right, y away from the pole, z up), seconds, pixels of 1280 x 720.
A passage is one stay of one person in view; nobody is hidden for more than `HIDDEN_S` on end.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from agent.vision.tracker import Seen
from sim.clips.optics import FOCAL_PX, HEIGHT, WIDTH, Optics

F64 = NDArray[np.float64]
Rng = np.random.Generator
Frame = tuple[int, list[Seen], list[int | None]]
"""captured_us, the faces as the tracker gets them, the passage of each (None: no person)."""
Embed = Callable[[], NDArray[np.float32]]
Looks = Callable[[int | None, float, float], Embed]
"""(passage or None, seconds, trouble of size and pose in 0..1) -> that face's `embed`."""
FACE_M, HEAD_M = 0.24, 1.55
MIN_FACE_PX, CONTINUE, START = 18.0, 0.25, 0.4
"""What the chain hands to the tracker: same limits as agent.vision.chain."""
HIDDEN_S, BACK_AFTER_S = 1.0, 3.0
SCENE_S, GRID_S = 16.0, 0.04
PASSAGES, FALSE_PER_FRAME = 11, 0.06


@dataclass(frozen=True, slots=True)
class Street:
    """A camera on a pole, and a pillar that stands `pillar_m` away at column `pillar_px`."""

    optics: Optics
    pillar_px: float
    pillar_m: float

    def project(self, places: F64, up_m: F64) -> tuple[F64, F64, F64]:
        """Return u, v and depth of (..., 2) places and (...) heights."""
        points = np.concatenate([places, up_m[..., None] - self.optics.height_m], axis=-1)
        x, y, depth = np.moveaxis(points @ self.optics.rotation.T, -1, 0)
        scale = FOCAL_PX / np.maximum(depth, 0.1)
        return WIDTH / 2 + x * scale, HEIGHT / 2 + y * scale, depth


@dataclass(frozen=True, slots=True)
class Walker:
    """One passage: to `meet_m` at `at_s`, a pause, and on; hidden by a passer-by in `blind_s`."""

    person: int
    head_m: float
    meet_m: F64
    at_s: float
    course: tuple[float, float]
    speed_m_s: float
    pause_s: float
    blind_s: tuple[float, float]
    phase: float

    def places(self, times: F64) -> F64:
        """Return (n, 2) places; course 0 walks towards the pole's side of the street."""
        t = times - self.at_s
        way = np.stack([[np.sin(c), -np.cos(c)] for c in self.course])
        gone = np.outer(np.minimum(t, 0), way[0])
        gone += np.outer(np.maximum(t - self.pause_s, 0), way[1])
        sway = 0.03 * np.sin(2 * np.pi * 0.9 * times + self.phase)
        return np.asarray(self.meet_m + gone * self.speed_m_s + sway[:, None])


@dataclass(frozen=True, slots=True)
class Views:
    """(walkers, times) arrays of what the camera could see of each head."""

    u: F64
    v: F64
    face_px: F64
    yaw: F64
    present: NDArray[np.bool_]
    covered: F64


@dataclass(frozen=True, slots=True)
class _Found:
    passage: int | None
    u: float
    v: float
    px: float
    score: float
    trouble: float


def make_scene(seed: int, times: F64, dress: Callable[[Rng, list[int]], Looks]) -> list[Frame]:
    """Draw one scene; `dress` gives each passage's person a look."""
    rng, (street, walkers) = np.random.default_rng(seed), _story(seed)
    views = look(street, walkers, times)
    looks = dress(rng, [w.person for w in walkers])
    miss, jitter = rng.uniform(0.05, 0.15, len(walkers)), float(rng.uniform(0.03, 0.06))
    corner = rng.uniform((100, 100), (WIDTH - 100, HEIGHT - 100))
    frames: list[Frame] = []
    for n, t_s in enumerate(times):
        seen = views.present[:, n] & (views.covered[:, n] <= 0.5) & (rng.random(len(miss)) >= miss)
        found: list[_Found] = [_face(rng, views, int(w), n, jitter) for w in np.flatnonzero(seen)]
        found = [f for f in found + _false(rng, views, n, corner) if f.score >= CONTINUE]
        found = [found[i] for i in rng.permutation(len(found))]
        faces = [_seen(f, looks(f.passage, float(t_s), f.trouble)) for f in found]
        frames.append((round(t_s * 1e6), faces, [f.passage for f in found]))
    return frames


@cache
def _story(seed: int) -> tuple[Street, list[Walker]]:
    """Add crossing groups while nobody stays hidden too long and at most eight are in view."""
    rng = np.random.default_rng([seed, 1])
    height, aim = rng.uniform((3.5, 5.0), (5.0, 7.0))
    optics = Optics(float(height), float(np.arctan2(height - HEAD_M, aim)))
    street = Street(optics, float(rng.uniform(300, 980)), float(rng.uniform(2.5, 6)))
    walkers, grid = list[Walker](), np.arange(0, SCENE_S, GRID_S)
    for _ in range(400):
        more = [*walkers, *_meeting(rng, len(walkers))]
        if _fair(more, look(street, more, grid), grid):
            walkers = more
        if len(walkers) >= PASSAGES:
            break
    return street, walkers


def _meeting(rng: Rng, known: int) -> list[Walker]:
    """Let two or three parties of one to three people meet at one place and time."""
    meet = np.array([rng.uniform(-1.5, 1.5), rng.uniform(3.5, 8.0)])
    at_s = float(rng.uniform(1.5, SCENE_S - 1.5))
    found: list[Walker] = []
    for _ in range(int(rng.integers(2, 4))):
        course = float(rng.uniform(-1.4, 1.4))
        turned = course + float(rng.normal(0, 0.35))
        leader = Walker(
            -1, 0.0, meet + rng.normal(0, 0.25, 2), at_s + float(rng.normal(0, 0.25)),
            (course, turned), float(rng.uniform(0.8, 2.0)),
            float(rng.uniform(1, 4)) if rng.random() < 0.2 else 0.0, (0.0, 0.0), 0.0,
        )  # fmt: skip
        beside = np.array([np.cos(course), np.sin(course)]) * rng.uniform(0.55, 0.8)
        for k in range(1 + int(rng.choice(3, p=[0.7, 0.2, 0.1]))):
            back = known > 0 and rng.random() < 0.15
            person = int(rng.integers(known)) if back else known + len(found)
            begin = leader.at_s + float(rng.uniform(-1.5, 1.0))
            hidden = float(rng.uniform(0.3, HIDDEN_S)) if rng.random() < 0.4 else 0.0
            found.append(replace(
                leader, person=person, head_m=float(rng.normal(HEAD_M, 0.1)),
                meet_m=leader.meet_m + k * beside, blind_s=(begin, begin + hidden),
                phase=float(rng.uniform(0, 6)),
            ))  # fmt: skip
    return found


def _fair(walkers: Sequence[Walker], views: Views, grid: F64) -> bool:
    """Check the promises that the truth makes about presence and hiding."""
    if (views.present.sum(0) > 8).any():
        return False
    seen: dict[int, float] = {}
    for w in sorted(range(len(walkers)), key=lambda w: walkers[w].at_s):
        stay = np.flatnonzero(views.present[w])
        if len(stay) < 25 or stay[-1] - stay[0] >= len(stay):
            return False
        runs = np.diff(np.flatnonzero(np.r_[True, views.covered[w, stay] <= 0.5, True]))
        back_s = seen.get(walkers[w].person, -9.0) + BACK_AFTER_S
        if (runs.max() - 2) * GRID_S > HIDDEN_S or grid[stay[0]] < back_s:
            return False
        seen[walkers[w].person] = float(grid[stay[-1]])
    return True


def look(street: Street, walkers: Sequence[Walker], times: F64) -> Views:
    """Return what the camera could see of each walker at each time."""
    places = np.stack([w.places(times) for w in walkers])
    bob = 0.02 * np.sin(2 * np.pi * 1.8 * times)
    up = np.array([w.head_m for w in walkers])[:, None] + bob
    u, v, depth = street.project(places, up)
    px = FACE_M * FOCAL_PX / np.maximum(depth, 0.1)
    walk = np.stack([np.where(times < w.at_s, *w.course) for w in walkers])
    turn = 0.45 * np.sin(2 * np.pi * 0.3 * times + np.array([[w.phase] for w in walkers]))
    yaw = np.abs(0.6 * walk + turn + np.arctan2(places[..., 0], places[..., 1]))
    inside = (np.abs(u - WIDTH / 2) + px / 2 < WIDTH / 2) & (px >= MIN_FACE_PX) & (depth > 1.5)
    present = inside & (np.abs(v - HEIGHT / 2) + px / 2 < HEIGHT / 2) & (places[..., 1] > 0.5)
    blind = np.array([(times >= w.blind_s[0]) & (times < w.blind_s[1]) for w in walkers])
    pillar = np.abs(u - street.pillar_px) < 0.2 / street.pillar_m * FOCAL_PX
    behind = pillar & (depth > street.pillar_m)
    covered = np.where(blind | behind, 1.0, _covered(u, v, px, depth, present))
    return Views(u, v, px, yaw, present, covered)


def _covered(u: F64, v: F64, px: F64, depth: F64, present: NDArray[np.bool_]) -> F64:
    """Return the largest share of each face that one nearer head or body hides."""
    shares = []
    for half, top, bottom in ((0.4, -0.6, 0.6), (1.0, 0.6, 8.0)):
        across = _shared(u, 0.38 * px, u, half * px)
        middle, reach = v + (top + bottom) / 2 * px, (bottom - top) / 2 * px
        down = _shared(v, 0.5 * px, middle, reach)
        shares.append(across * down / (0.76 * px * px)[:, None])
    nearer = (depth[None] < depth[:, None] - 0.1) & (depth[None] > 0.3) & present[:, None]
    return np.asarray((np.maximum(*shares) * nearer).max(axis=1))


def _shared(a: F64, half_a: F64, b: F64, half_b: F64) -> F64:
    """Return the (n, n, times) overlap of intervals a +/- half_a with b +/- half_b."""
    upper = np.minimum((a + half_a)[:, None], (b + half_b)[None])
    lower = np.maximum((a - half_a)[:, None], (b - half_b)[None])
    return np.asarray(np.maximum(upper - lower, 0))


def _face(rng: Rng, views: Views, w: int, n: int, jitter: float) -> _Found:
    """Detect one walker's face; small, turned and half hidden faces score lower."""
    px, covered = float(views.face_px[w, n]), float(views.covered[w, n])
    small = float(np.clip((45 - px) / 27, 0, 1))
    turned = float(np.clip((views.yaw[w, n] - 0.3) / 1.0, 0, 1.2))
    score = 0.85 - 0.3 * small - 0.35 * turned - 0.4 * covered + rng.normal(0, 0.07)
    jitter *= 1 + 2 * covered
    du, dv = rng.normal(0, jitter * px, 2)
    size = px * float(np.exp(rng.normal(0, jitter)))
    trouble = min(1.0, 0.5 * small + 0.6 * turned + covered)
    return _Found(w, views.u[w, n] + du, views.v[w, n] + dv, size, float(score), trouble)


def _false(rng: Rng, views: Views, n: int, corner: F64) -> list[_Found]:
    """Detect what is no face: anywhere, in one spot again and again, or on somebody's body."""
    if rng.random() >= FALSE_PER_FRAME:
        return []
    kind, here = rng.random(), np.flatnonzero(views.present[:, n])
    u, v = rng.uniform((0, 0), (WIDTH, HEIGHT))
    if kind < 0.2:
        u, v = corner + rng.normal(0, 2, 2)
    elif kind < 0.5 and len(here):
        w = rng.choice(here)
        u = views.u[w, n] + views.face_px[w, n] * rng.uniform(-1, 1)
        v = views.v[w, n] + views.face_px[w, n] * rng.uniform(1, 4)
    score = CONTINUE + float(rng.exponential(0.07))
    return [_Found(None, float(u), float(v), float(rng.uniform(18, 50)), score, 1.0)]


def _seen(found: _Found, embed: Embed) -> Seen:
    centre, half = np.array([found.u, found.v]), np.array([0.38, 0.5]) * found.px
    box = np.concatenate([centre - half, centre + half]).astype(np.float32)
    return Seen(box, None, embed, found.score >= START)
