"""Do two people keep company? What their coming and going says, and what it says of their distance.

Two who arrive together and leave together are mostly together in between, at the distance that
people keep; two who do neither may be anywhere. Timing and distance are weighed together, in odds.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from controller.domain.contacts_heights import Flags
from controller.domain.contacts_model import SpacingModel
from controller.domain.contacts_presence import SpellDraw
from controller.domain.contacts_stays import Hidden, Stay
from controller.domain.types import F64

ENDS: Final = (False, True)
"""The first and the last moment of a stay: time runs on from the last one only."""
LEAST_STAY_S: Final = 60.0


def company_probability(subject: Stay, other: Stay, step_s: float, spacing: SpacingModel) -> float:
    """Return how probable it is, by the times they were first and last seen, that two are company.

    At each end, whoever is seen later was hidden for that long (an exponential time) if they came
    together, and came at any moment of the other's stay if not. The evidence is capped, as a bus
    takes strangers together too.
    """
    evidence = sum(_end_evidence((subject, other), forward, step_s, spacing) for forward in ENDS)
    capped = min(max(evidence, -spacing.most_evidence), spacing.most_evidence)
    odds = spacing.companions / (1 - spacing.companions) * math.exp(capped)
    return odds / (1 + odds)


def _end_evidence(
    stays: tuple[Stay, Stay], forward: bool, step_s: float, spacing: SpacingModel
) -> float:
    """Return the log-likelihood ratio of an end's times: together against each for themselves."""
    later, steps = _later(stays, forward)
    ends = _ends_of(stays[later], forward)
    known_s = max((end.edge.mean_s for end in ends if end.edge is not None), default=0.0)
    usual_s = max(known_s, spacing.sync_s)
    stay_s = max(float(np.ptp(np.flatnonzero(stays[1 - later].track >= 0))) * step_s, LEAST_STAY_S)
    together = math.exp(-steps * step_s / usual_s) * stay_s / usual_s
    return math.log(spacing.both_ends * together + 1 - spacing.both_ends)


def spacing_weight(apart_m: F64, company: float, spacing: SpacingModel) -> tuple[F64, F64]:
    """Return how much likelier than anywhere on the ground a distance is, and P(company | it).

    Without it a true metre, measured with an error of half a metre in both ways, would come out as
    more: errors across only ever add to a distance.
    """
    apart = np.maximum(np.asarray(apart_m, np.float64), 1e-3)
    z = np.log(apart / spacing.median_m) / spacing.spread
    together = np.exp(-z * z / 2) / (apart * spacing.spread * np.sqrt(2 * np.pi))
    anywhere = 2 * apart / spacing.around_m**2
    share = company * together / anywhere
    return share + 1 - company, share / (share + 1 - company)


def come_and_go_together(
    stays: tuple[Stay, Stay], spells: tuple[Sequence[SpellDraw], Sequence[SpellDraw]],
    there: tuple[Sequence[Flags], Sequence[Flags]], company: Flags, both: NDArray[np.intp],
    step_s: float, spacing: SpacingModel, rng: np.random.Generator,
) -> None:  # fmt: skip
    """Where two keep company, whoever is seen later came unseen with the other, and so at the end.

    Changes `there`, drawn and possible presence (draws, n) of each of the two, in the draws of
    `company` in which the later one was hidden at that end at all.
    """
    for forward in ENDS:
        later, _ = _later(stays, forward)
        ratio = math.exp(_end_evidence(stays, forward, step_s, spacing))
        at_once = rng.random(len(company)) < 1 - (1 - spacing.both_ends) / ratio
        for spell, found in zip(stays[later].hidden, spells[later], strict=True):
            if spell.edge is None or spell.forward is not forward:
                continue
            at = np.flatnonzero((both >= spell.first) & (both < spell.beyond))
            unseen = (company & at_once & found.stays)[:, None]
            for mine, other in zip(there[later], there[1 - later], strict=True):
                mine[:, at] |= unseen & other[:, at]


def _later(stays: tuple[Stay, Stay], forward: bool) -> tuple[int, int]:
    """Return which of two was seen less far out at an end of their stays, and by how many steps."""
    sights = [int(np.flatnonzero(stay.track >= 0)[-1 if forward else 0]) for stay in stays]
    later = int((sights[0] < sights[1]) != forward)
    return later, abs(sights[0] - sights[1])


def _ends_of(stay: Stay, forward: bool) -> list[Hidden]:
    return [s for s in stay.hidden if s.edge is not None and s.forward is forward]
