"""Who was there in which draw: hidden spells drawn, and presence and places that follow."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from controller.domain.contacts_stays import Hidden, Stay
from controller.domain.types import F64

Flags = NDArray[np.bool_]

OFTEN: Final = 0.9
"""Share of all absences that those have who go away at all."""


@dataclass(frozen=True, slots=True)
class SpellDraw:
    """One hidden spell in each draw: `stays` (draws,), `lasts_s` (draws,) at an end of a stay, and
    the person's `offset_sd` (draws, 2) from the bridge in standard deviations."""

    stays: np.ndarray
    lasts_s: F64 | None
    offset_sd: np.ndarray


def draw_spells(
    stay: Stay, rng: np.random.Generator, draws: int, leavers: float
) -> tuple[SpellDraw, ...]:
    """Draw what happened in each of a stay's hidden spells.

    Most people never go away for a while and some do: a share `leavers` has nearly all absences.
    """
    chance = _leaver(stay, leavers)
    often = np.where(rng.random(draws) < chance, OFTEN / leavers, (1 - OFTEN) / (1 - leavers))
    return tuple(
        SpellDraw(
            stays=rng.random(draws) < _of_draw(spell, often),
            lasts_s=None if spell.edge is None else spell.edge.draw(rng, draws),
            offset_sd=rng.standard_normal((draws, 2)).astype(np.float32),
        )
        for spell in stay.hidden
    )


def _leaver(stay: Stay, leavers: float) -> float:
    """Return how probable it is, by a stay's own gaps, that its person is one who goes away."""
    much, little = OFTEN / leavers, (1 - OFTEN) / (1 - leavers)
    odds = leavers / (1 - leavers)
    for spell in stay.hidden:
        if spell.edge is None:
            away = 1 - spell.stayed
            odds *= (spell.stayed + away * much) / (spell.stayed + away * little)
    return odds / (1 + odds)


def _of_draw(spell: Hidden, often: F64) -> F64:
    """Return (draws,) how probable it is to have stayed, of who goes away `often` times so much."""
    if spell.edge is not None:
        return np.full(len(often), spell.stayed)
    return np.asarray(spell.stayed / (spell.stayed + (1 - spell.stayed) * often))


def presence(
    stay: Stay, spells: Sequence[SpellDraw], member: np.ndarray, columns: np.ndarray, step_s: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return seen, drawn and possible presence at the grid's `columns`, (draws, n) booleans each.

    `member` (draws, tracks) says in which draws a tracklet is this person's at all.
    """
    track = stay.track[columns]
    seen = np.zeros((len(member), len(columns)), bool)
    for k in np.unique(track[track >= 0]):
        seen[:, track == k] = member[:, k, None]
    drawn, possible = seen.copy(), seen.copy()
    for spell, found in zip(stay.hidden, spells, strict=True):
        at = np.flatnonzero((columns >= spell.first) & (columns < spell.beyond))
        both = np.asarray(member[:, list(spell.needs)].all(axis=1))
        there = (both & found.stays)[:, None] & np.ones(len(at), bool)
        if found.lasts_s is not None:
            moments = columns[at] - spell.first if spell.forward else spell.beyond - 1 - columns[at]
            there &= (moments + 0.5) * step_s < found.lasts_s[:, None]
        drawn[:, at] |= there
        possible[:, at] |= there if found.lasts_s is not None else both[:, None]
    return seen, drawn, possible


def wander(
    stay: Stay, spells: Sequence[SpellDraw], columns: np.ndarray, axis: int
) -> np.ndarray | float:
    """Return how far a hidden person is from the bridge along an axis, (draws, n) metres."""
    if not spells:
        return 0.0
    out = np.zeros((len(spells[0].stays), len(columns)), np.float32)
    for spell, found in zip(stay.hidden, spells, strict=True):
        at = np.flatnonzero((columns >= spell.first) & (columns < spell.beyond))
        out[:, at] = found.offset_sd[:, axis, None] * stay.wander_m[columns[at]][None, :]
    return out
