"""Columns of the synthetic city; times in µs since 1970 UTC, places in metres of the city's plane.

Nothing here says who anybody is: that is `sim.city.truth`, which only a scorer may import.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sim.errors import SimError

Bools = NDArray[np.bool_]
F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I8 = NDArray[np.int8]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
U64 = NDArray[np.uint64]

START_US: Final = 1_767_225_600_000_000
"""Midnight of the city's first day."""
DAY_US: Final = 86_400_000_000
MAX_CAMERAS, MAX_PEOPLE, MAX_DAYS, MAX_CASES = 30_000, 2_000_000, 31, 200


@dataclass(frozen=True, slots=True)
class CityPlan:
    """What makes a city; the same plan makes the same city, bit for bit.

    `mask_rate` share of sightings with a mask; `clock_error_s` standard deviation of the boxes'
    clocks; `miss_rate` share of detectable passages of which the box makes no tracklet at all;
    `cases` how many people are subjects; `hour_off` whether one box's clock is an hour ahead.
    """

    seed: int = 1
    cameras: int = 200
    people: int = 5_000
    days: int = 3
    cases: int = 10
    mask_rate: float = 0.6
    clock_error_s: float = 2.0
    miss_rate: float = 0.2
    hour_off: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be made; `SimError` names the field and what is allowed."""
        checks = (
            ("seed", 0 <= self.seed < 2**32, "0 to 4,294,967,295"),
            ("cameras", 2 <= self.cameras <= MAX_CAMERAS, f"2 to {MAX_CAMERAS:,}"),
            ("people", 2 <= self.people <= MAX_PEOPLE, f"2 to {MAX_PEOPLE:,}"),
            ("days", 1 <= self.days <= MAX_DAYS, f"1 to {MAX_DAYS}"),
            ("cases", 1 <= self.cases <= min(MAX_CASES, self.people), f"1 to {MAX_CASES}"),
            ("mask_rate", 0 <= self.mask_rate <= 1, "0 to 1"),
            ("clock_error_s", 0 <= self.clock_error_s <= 7200, "0 to 7,200 seconds"),
            ("miss_rate", 0 <= self.miss_rate < 1, "0 to less than 1"),
        )
        for name, good, allowed in checks:
            if not good:
                raise SimError(f"{name}: give {allowed}, not {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class Sites:
    """c cameras, (c,) each; a camera has one agent of its own.

    `facing_rad` direction of view from the x axis, `half_angle_rad` half its field of view; faces
    are at least 28 px wide from `near_m` to `far_m`; `venue` the venue it belongs to, -1 on a
    street; `kind` one of `SITE_KINDS`; `around_x_m`, `around_y_m` the middle of what it sees.
    """

    camera_ids: tuple[str, ...]
    agent_ids: tuple[str, ...]
    x_m: F64
    y_m: F64
    height_m: F64
    facing_rad: F64
    half_angle_rad: F64
    near_m: F64
    far_m: F64
    around_x_m: F64
    around_y_m: F64
    venue: I32
    indoor: Bools
    kind: I8

    def __len__(self) -> int:
        """Return c."""
        return len(self.camera_ids)


SITE_KINDS: Final = ("street", "stop", "entrance", "inside")
"""A place in this tuple is the code of a site's kind."""


@dataclass(frozen=True, slots=True)
class Links:
    """The network between cameras: m links, (m,) each, both ways listed.

    On foot: `start` and `goal` follow each other with no third camera between, `walk_s` seconds at
    1.35 m/s. By bus: `bus_start`, `bus_goal` cameras at stops of one line, `ride_s` seconds of
    riding and `headway_s` between two buses.
    """

    start: I64
    goal: I64
    walk_s: F64
    bus_start: I64
    bus_goal: I64
    ride_s: F64
    headway_s: float


@dataclass(frozen=True, slots=True)
class Down:
    """k intervals in which a camera saw nothing, and which are known: (k,) each, true time."""

    camera: I64
    start_us: I64
    end_us: I64

    def __len__(self) -> int:
        """Return k."""
        return len(self.camera)


@dataclass(frozen=True, slots=True)
class Sightings:
    """n tracklets that boxes hold, (n,) each, in order of start.

    `sighting` a random-looking number that names the row for good; `start_us`, `end_us` as the
    agent's clock says, `time_uncertainty_s` as the agent claims (one standard deviation);
    `masked`, `quality` 0..1, `face_px` width of the largest face, `visible_share` of its time with
    the face seen; `published` False for what stays on the box until it is asked (quality too low).
    """

    sighting: U64
    camera: I32
    start_us: I64
    end_us: I64
    time_uncertainty_s: F32
    masked: Bools
    quality: F32
    face_px: F32
    visible_share: F32
    published: Bools

    def __len__(self) -> int:
        """Return n."""
        return len(self.camera)

    def take(self, rows: NDArray[np.integer] | Bools | slice) -> "Sightings":
        """Return the chosen rows as a table of their own."""
        return Sightings(*(getattr(self, name)[rows] for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class GroundPath:
    """One tracklet's path on its camera's own ground, as a queried agent reveals it.

    `times_us` (n,) by the agent's clock, `places_m` (n, 2) on the head plane with the origin under
    the camera and y ahead, `noise_sd_m` (n,) along the longest axis.
    """

    times_us: I64
    places_m: F64
    noise_sd_m: F64


@dataclass(frozen=True, slots=True)
class Probes:
    """The reference photos of the cases: k photos, (k,) each.

    `case` whose, `masked` mask state, `quality`, `embedding` (k, 192) float32 unit vectors.
    """

    case: I32
    masked: Bools
    quality: F32
    embedding: F32

    def __len__(self) -> int:
        """Return k."""
        return len(self.case)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Part of a stream: `count` sightings were made, and those are here that were asked for.

    `cosines` (n, k) float32 of `rows` with all photos of `Probes`; `seen_by_day` (days,) int64 how
    many sightings this part has on each day, kept or not; `sample`, `sample_masked`: cosines (s, k)
    and masks of an even sample of all of them, published or not.
    """

    rows: Sightings
    cosines: F32
    count: int
    seen_by_day: I64
    sample: F32
    sample_masked: Bools


@dataclass(frozen=True, slots=True)
class Said:
    """What a subject said in the interview: was there, give or take, (k,) each."""

    case: I32
    x_m: F64
    y_m: F64
    radius_m: F64
    start_us: I64
    end_us: I64
    time_uncertainty_s: F64
