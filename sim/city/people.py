"""Who lives in the city: households, teams at work, habits. All a function of a person's number.

A dozen people in a row are households of a known pattern; rows of people live close together.
A team is four people of one district who are not of one household: they work at one place.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import ndtr, ndtri

from sim.city.draws import Draws
from sim.city.streets import Streets
from sim.city.types import F64, I64, Bools, CityPlan
from sim.city.venues import CHOICES, WORK, Venues
from sim.scenes.people import CHILDREN_M, FACE_BELOW_TOP_M, MEN_M, SEATED_DROP_M, SHOES_M, WOMEN_M

PATTERNS: Final = (
    (1, 1, 2, 2, 3, 3), (4, 4, 2, 1, 1), (3, 4, 1, 2, 2), (1, 2, 3, 4, 1, 1), (4, 3, 3, 2),
)  # fmt: skip
DOZEN: Final = 12
DISTRICT: Final = 12_000
"""People among whom teams are formed; they live beside each other."""
TEAM: Final = 4
EMPLOYED: Final = 0.70
MASK_SPREAD: Final = 1.6
"""How much people differ in how often they wear a mask (probit scale)."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """p people, (p,) each.

    `household`, `member` (0 for its first), `team`, `mate` (0..3 in the team), `home` a node,
    `work` the venue where a worker works or a child learns, `job` 0 at home, 1 worker, 2 child;
    `speed_m_s`, `car` and `bus` habits, `mask_habit` on a probit scale, heights in metres.
    """

    person: I64
    household: I64
    member: I64
    team: I64
    mate: I64
    home: I64
    work: I64
    job: I64
    speed_m_s: F64
    car: Bools
    mask_habit: F64
    standing_m: F64
    drop_m: F64

    def __len__(self) -> int:
        """Return p."""
        return len(self.person)


def crowd(plan: CityPlan, draws: Draws, streets: Streets, venues: Venues, person: I64) -> Crowd:
    """Return the people of these numbers."""
    household, member = _households(draws, person)
    team, mate = _teams(draws, plan.people, person)
    home = _homes(draws, plan, streets, household)
    child = member >= 2
    employed = ~child & draws.chance("employed", EMPLOYED, person)
    job = np.where(child, 2, np.where(employed, 1, 0))
    work = np.where(
        child, venues.close_school[home], _workplaces(draws, plan, streets, venues, team)
    )
    standing, drop = _heights(draws, person, child)
    speed = np.exp(np.log(1.32) + 0.11 * draws.normal("speed", person))
    return Crowd(
        person, household, member, team, mate, home, work.astype(np.int64), job,
        np.clip(speed, 0.8, 2.0), ~child & draws.chance("car", 0.45, person),
        mask_habit(plan.mask_rate) + MASK_SPREAD * draws.normal("mask habit", person),
        standing, drop,
    )  # fmt: skip


def mask_habit(rate: float) -> float:
    """Return the mean habit at which so large a share of all is masked."""
    return float(ndtri(rate) * np.sqrt(1 + MASK_SPREAD**2))


def wears(draws: Draws, habit: F64, shift: float, *keys: I64) -> Bools:
    """Draw whether somebody wears a mask; `shift` is what the place does to the habit."""
    return draws.chance("mask", np.asarray(ndtr(habit + shift)), *keys)


def _households(draws: Draws, person: I64) -> tuple[I64, I64]:
    table = np.zeros((len(PATTERNS), DOZEN, 2), np.int64)
    for k, sizes in enumerate(PATTERNS):
        table[k, :, 0] = np.repeat(np.arange(len(sizes)), sizes)
        table[k, :, 1] = np.concatenate([np.arange(size) for size in sizes])
    dozen = person // DOZEN
    found = table[draws.below("household", len(PATTERNS), dozen), person % DOZEN]
    return dozen * 8 + found[:, 0], found[:, 1]


def _teams(draws: Draws, people: int, person: I64) -> tuple[I64, I64]:
    """Deal the people of a district to teams by an affine permutation."""
    district = person // DISTRICT
    size = np.minimum(DISTRICT, people - district * DISTRICT)
    # A factor prime to every size up to a district: larger than it, and prime.
    dealt = ((person % DISTRICT) * 15_485_863 + draws.below("deal", 10**6, district)) % size
    return district * (DISTRICT // TEAM) + dealt // TEAM, dealt % TEAM


def _homes(draws: Draws, plan: CityPlan, streets: Streets, household: I64) -> I64:
    """Spread households evenly over the nodes, row of blocks by row of blocks."""
    order = _snake(streets.places_m)
    share = (household + draws.uniform("home", household)) / (plan.people / DOZEN * 8 + 8)
    return np.asarray(order[(share * len(order)).astype(np.int64)])


def _snake(places: F64) -> I64:
    row = np.floor(places[:, 1] / 320.0)
    x = np.where(row % 2 == 0, places[:, 0], -places[:, 0])
    return np.lexsort((x, row))


def _workplaces(draws: Draws, plan: CityPlan, streets: Streets, venues: Venues, team: I64) -> I64:
    """Return where each team works: near its district or in the middle, large places more often."""
    jobs = venues.of_kind(WORK)
    order = _snake(streets.places_m)
    district = team // (DISTRICT // TEAM)
    out = np.empty(len(team), np.int64)
    for one in np.unique(district):
        middle = min((one + 0.5) * DISTRICT / plan.people, 1 - 1e-9)
        place = streets.places_m[order[int(middle * len(order))]]
        far = np.hypot(*(streets.places_m[venues.node[jobs]] - place).T)
        near = jobs[np.argsort(far, kind="stable")[:CHOICES]]
        mine = district == one
        # Squaring favours the nearer ones.
        share = draws.uniform("workplace", team[mine]) ** 1.5
        out[mine] = near[(share * len(near)).astype(np.int64)]
    return out


def _heights(draws: Draws, person: I64, child: Bools) -> tuple[F64, F64]:
    man = draws.chance("man", 0.5, person)
    mean = np.where(child, CHILDREN_M[0], np.where(man, MEN_M[0], WOMEN_M[0]))
    spread = np.where(child, CHILDREN_M[1], np.where(man, MEN_M[1], WOMEN_M[1]))
    stature = np.clip(mean + spread * draws.normal("stature", person), 0.95, 2.1)
    drop = SEATED_DROP_M[0] + SEATED_DROP_M[1] * draws.normal("seated", person)
    return stature + SHOES_M - FACE_BELOW_TOP_M, drop * np.where(child, 0.8, 1.0)
