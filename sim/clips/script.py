"""The script of a clip set: who walks where and when, all from a seed. No pictures here.

Each camera has its own ground frame: metres, origin at the pole's foot, x right, y forward.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sim.errors import SimError

F64 = NDArray[np.float64]
CAMERAS: Final = 6
LONG_MINUTES, SHORT_MINUTES = 16, 14
NEAR_M: Final = 1.8
EDGE_M: Final = 3.6
"""Nobody is in view beyond this distance from the middle of the picture."""
WALK_M_S: Final = 1.5
LEAD_S: Final = 8
SUBJECT = "p0"


@dataclass(frozen=True, slots=True)
class Stay:
    """One person in one camera: walks in from `side`, stands at `spot_m`, walks out again.

    Times are whole seconds of the clip: at the spot from `arrive_s` until `leave_s`.
    """

    person: str
    photo: str
    masked: bool
    side: int
    spot_m: tuple[float, float]
    head_m: float
    arrive_s: int
    leave_s: int

    def place_at(self, t_s: float) -> tuple[float, float] | None:
        """Return where the person is, or None when out of view."""
        before, after = self.arrive_s - t_s, t_s - self.leave_s
        away = WALK_M_S * max(before, after, 0.0)
        x = self.spot_m[0] + self.side * away
        if abs(x) > EDGE_M:
            return None
        return x, self.spot_m[1]


@dataclass(frozen=True, slots=True)
class CameraScript:
    """One camera: its clip's start, length, place on the plan, geometry, and who comes."""

    camera_id: str
    start_utc: datetime
    frames: int
    x_m: float
    y_m: float
    height_m: float
    tilt_rad: float
    stays: tuple[Stay, ...]


@dataclass(frozen=True, slots=True)
class Script:
    """A whole set: cameras, and which photograph is the reference."""

    seed: int
    scene_day: date
    reference_photo: str
    long_person: str
    short_person: str
    cameras: tuple[CameraScript, ...]


def write_script(seed: int, scene_day: date, *, subject_masked_camera: bool = False) -> Script:
    """Draw the script of a seed."""
    rng = np.random.default_rng(seed)
    shots = [str(s) for s in rng.permutation(["obama.jpg", "obama2.jpg", "obama3.jpg"])]
    reference, in_clips = shots[0], shots[1:]
    photos = [str(p) for p in rng.permutation(["biden.jpg", "astronaut.png"])]
    people = {"p1": photos[0], "p2": photos[1]}
    heads = {person: float(rng.uniform(1.52, 1.60)) for person in ("p0", "p1", "p2")}
    ids = [f"cam-{i:02d}" for i in rng.permutation(np.arange(1, CAMERAS + 1))]
    places = _places(rng)
    first_part = int(rng.integers(6, 11))
    parts = [("p1", first_part), ("p1", LONG_MINUTES - first_part), ("p2", SHORT_MINUTES)]
    parts = [parts[i] for i in rng.permutation(3)]
    opened = datetime(scene_day.year, scene_day.month, scene_day.day, 9, tzinfo=UTC)
    start = opened + timedelta(seconds=int(rng.integers(0, 4 * 3600)))
    scripts = []
    for k, (person, minutes) in enumerate(parts):
        masked = subject_masked_camera and k == 1
        stays, length = _together(
            rng, (in_clips[k % 2], masked, heads["p0"]), (person, people[person], heads[person]),
            minutes,
        )  # fmt: skip
        scripts.append(_camera(rng, ids[k], start, length, places[k], stays))
        if k < 2:
            walk_s = float(np.hypot(*(places[k + 1] - places[k]))) / float(rng.uniform(1.2, 1.5))
            start += timedelta(seconds=length + int(walk_s + rng.integers(20, 120)))
    for k, person in enumerate(("p1", "p2"), start=3):
        later = start + timedelta(minutes=int(rng.integers(60, 150)))
        stays, length = _alone(rng, person, people[person], heads[person])
        scripts.append(_camera(rng, ids[k], later, length, places[k], stays))
    scripts.append(_camera(rng, ids[5], start + timedelta(minutes=30), 60, places[5], ()))
    return Script(
        seed, scene_day, reference, "p1", "p2",
        tuple(sorted(scripts, key=lambda s: s.camera_id)),
    )  # fmt: skip


def near_seconds(camera: CameraScript, person: str, near_m: float = NEAR_M) -> list[int]:
    """Return the seconds at which somebody is within a distance of the subject."""
    return [
        t
        for t in range(camera.frames)
        if (d := distance_at(camera, person, t)) is not None and d <= near_m
    ]


def distance_at(camera: CameraScript, person: str, t_s: int) -> float | None:
    """Return the distance from the subject, None unless both are in view."""
    mine = [p for s in camera.stays if s.person == SUBJECT and (p := s.place_at(t_s))]
    theirs = [p for s in camera.stays if s.person == person and (p := s.place_at(t_s))]
    if not mine or not theirs:
        return None
    return float(np.hypot(mine[0][0] - theirs[0][0], mine[0][1] - theirs[0][1]))


def _places(rng: np.random.Generator) -> list[F64]:
    """Draw camera places 80-400 m from one to the next and at least 80 m from all others."""
    for _ in range(1000):
        places = [np.zeros(2)]
        for _ in range(CAMERAS - 1):
            angle, step = rng.uniform(0, 2 * np.pi), rng.uniform(90, 320)
            places.append(places[-1] + step * np.array([np.cos(angle), np.sin(angle)]))
        between = np.linalg.norm(np.array(places)[:, None] - np.array(places)[None], axis=2)
        if between[np.triu_indices(CAMERAS, 1)].min() >= 80.0:
            return [np.round(p, 1) for p in places]
    raise SimError("script: no camera places found; use another seed")


def _together(
    rng: np.random.Generator, subject: tuple[str, bool, float], other: tuple[str, str, float],
    minutes: int,
) -> tuple[tuple[Stay, ...], int]:  # fmt: skip
    """Let somebody stand beside the subject for exactly so many minutes within `NEAR_M`."""
    depth = float(rng.uniform(3.3, 3.9))
    side = int(rng.choice([-1, 1]))
    apart = float(rng.uniform(0.8, 1.0))
    middle = float(rng.uniform(-0.4, 0.4))
    mine = (middle - side * apart / 2, depth)
    theirs = (middle + side * apart / 2, depth + float(rng.uniform(-0.05, 0.05)))
    arrive = LEAD_S + int(rng.integers(4, 12))
    comes = arrive + int(rng.integers(10, 25))
    photo, masked, head = subject
    goal = minutes * 60

    def stays(leave: int) -> tuple[Stay, ...]:
        return (
            Stay(SUBJECT, photo, masked, -side, mine, head, arrive, leave + 20),
            Stay(other[0], other[1], other[0] == "p1", side, theirs, other[2], comes, leave),
        )

    def camera(leave: int) -> CameraScript:
        start = datetime(2000, 1, 1, tzinfo=UTC)
        return CameraScript("x", start, leave + 40, 0, 0, 3, 0, stays(leave))

    leave = comes + goal - 1
    leave += goal - len(near_seconds(camera(leave), other[0]))
    if len(near_seconds(camera(leave), other[0])) != goal:
        raise SimError("script: an episode is not of its length; use another seed")
    return stays(leave), leave + 20 + LEAD_S


def _alone(
    rng: np.random.Generator, person: str, photo: str, head_m: float
) -> tuple[tuple[Stay, ...], int]:
    spot = (float(rng.uniform(-0.8, 0.8)), float(rng.uniform(3.3, 4.1)))
    arrive = LEAD_S + int(rng.integers(2, 8))
    leave = arrive + int(rng.integers(70, 100))
    side = int(rng.choice([-1, 1]))
    return (Stay(person, photo, person == "p1", side, spot, head_m, arrive, leave),), leave + LEAD_S


def _camera(
    rng: np.random.Generator, camera_id: str, start: datetime, frames: int, place: F64,
    stays: tuple[Stay, ...],
) -> CameraScript:  # fmt: skip
    height = float(rng.uniform(3.4, 3.8))
    # Looking at heads 3.8 m away, a little above the middle of the picture.
    tilt = float(np.arctan2(height - 1.35, 3.8)) + float(rng.uniform(-0.02, 0.02))
    return CameraScript(
        camera_id, start, frames, float(place[0]), float(place[1]), height, tilt, stays
    )
