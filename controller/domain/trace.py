"""From look-alikes to one feasible trace of where the subject was.

Sightings of one camera that follow each other within moments are one stay, and a stay counts as
much as its best sighting: a stranger who looks alike in one picture looks alike in the next, so
many pictures of one stay are not many witnesses. Stays are the nodes of a time-ordered graph
(`lattice`); what is on its best chain and likely enough is accepted, what is merely possible is
left for review, and the rest is rejected.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from controller.domain.lattice import (
    OVERLAP_SLACK_S,
    TraceSettings,
    best_chain,
    build_lattice,
    feasible,
    posteriors,
    walk_m,
)
from controller.domain.types import F64, CameraSite, Candidate, Decision, Trace, Visit

__all__ = ["MAX_STAYS", "TraceSettings", "feasible", "trace"]

MAX_STAYS: Final = 1_000
"""More stays than this are cut to the best by llr."""


@dataclass(frozen=True, slots=True)
class _Stay:
    """Candidates of one camera that may be one stay; `best` stands for all."""

    best: Candidate
    others: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class _Seen:
    """The sightings of a stay that are taken for the subject's, and how likely they are."""

    best: Candidate
    members: tuple[Candidate, ...]
    posterior: float


def trace(
    candidates: Sequence[Candidate],
    sites: Mapping[str, CameraSite],
    settings: TraceSettings,
) -> Trace:
    """Return the most likely feasible trace with a posterior for each of its visits.

    Candidates of cameras that are not in `sites` are rejected. The order of candidates is nothing.
    """
    stays = _stays([c for c in candidates if c.camera_id in sites], settings)
    if not stays:
        return Trace((), (), len(candidates), len(candidates))
    nodes = [stay.best for stay in stays]
    lattice = build_lattice(nodes, sites, settings)
    presence = _presence(nodes, posteriors(lattice), lattice.costs, sites, settings)
    chain = [i for i in best_chain(lattice) if presence[i] >= settings.accept_posterior]
    accepted = _grown([stays[i] for i in chain], [presence[i] for i in chain], sites, settings)
    doubtful = [
        _Seen(stays[i].best, _fitting(stays[i], None, None, sites, settings), float(presence[i]))
        for i in range(len(stays))
        if i not in chain and presence[i] >= settings.review_posterior
    ]
    visits = _visits(accepted, "accepted", sites, settings)
    review = _visits(doubtful, "review", sites, settings)
    believed = sum(len(v.sighting_ids) for v in (*visits, *review))
    return Trace(visits, review, len(candidates), len(candidates) - believed)


def _stays(candidates: Sequence[Candidate], settings: TraceSettings) -> list[_Stay]:
    """Group candidates by camera and moments, and return the best groups in order of time."""
    groups: list[list[Candidate]] = []
    ordered = sorted(
        candidates, key=lambda c: (c.camera_id, c.start_us, c.end_us, c.sighting_id.bytes)
    )
    until_us = 0
    for one in ordered:
        near = bool(groups) and groups[-1][-1].camera_id == one.camera_id
        if near and one.start_us - until_us <= settings.continuity_s * 1e6:
            groups[-1].append(one)
            until_us = max(until_us, one.end_us)
        else:
            groups.append([one])
            until_us = one.end_us
    stays = []
    for group in groups:
        ranked = sorted(group, key=lambda c: (-c.llr, c.sighting_id.bytes))
        stays.append(_Stay(ranked[0], tuple(ranked[1:])))
    stays.sort(key=lambda s: (-s.best.llr, s.best.sighting_id.bytes))
    key = lambda s: (s.best.start_us, s.best.end_us, s.best.sighting_id.bytes)  # noqa: E731
    return sorted(stays[:MAX_STAYS], key=key)


def _presence(
    nodes: Sequence[Candidate], posterior: F64, costs: F64, sites: Mapping[str, CameraSite],
    settings: TraceSettings,
) -> F64:  # fmt: skip
    """Return the probability that the subject was there, whichever of two equal views is right.

    Cameras that look at the same place may hold the same moment twice; the two exclude each other
    in the graph, which must not make the place itself doubtful.
    """
    out = posterior.copy()
    near = np.flatnonzero(posterior >= settings.review_posterior)
    for i in near:
        for j in near:
            if i == j or np.isfinite(costs[i, j]) or np.isfinite(costs[j, i]):
                continue
            together_us = min(nodes[i].end_us, nodes[j].end_us) - max(
                nodes[i].start_us, nodes[j].start_us
            )
            places = sites[nodes[i].camera_id], sites[nodes[j].camera_id]
            if together_us > 0 and walk_m(*places, settings) == 0.0:
                out[i] += posterior[j]
    return np.asarray(np.minimum(out, 1.0))


def _grown(
    stays: Sequence[_Stay], posterior: Sequence[float], sites: Mapping[str, CameraSite],
    settings: TraceSettings,
) -> list[_Seen]:  # fmt: skip
    """Add to each accepted stay its further sightings, as far as the whole stays feasible."""
    grown: list[_Seen] = []
    for k, stay in enumerate(stays):
        before = grown[-1].members[-1] if grown else None
        after = stays[k + 1].best if k + 1 < len(stays) else None
        members = _fitting(stay, before, after, sites, settings)
        grown.append(_Seen(stay.best, members, float(posterior[k])))
    return grown


def _fitting(
    stay: _Stay, before: Candidate | None, after: Candidate | None,
    sites: Mapping[str, CameraSite], settings: TraceSettings,
) -> tuple[Candidate, ...]:  # fmt: skip
    chosen = [stay.best]
    for one in stay.others:
        if one.llr < settings.continuity_cost or any(_overlap(one, c) for c in chosen):
            continue
        follows = before is None or feasible(before, one, sites, settings)
        precedes = after is None or feasible(one, after, sites, settings)
        if follows and precedes:
            chosen.append(one)
    return tuple(sorted(chosen, key=lambda c: (c.start_us, c.sighting_id.bytes)))


def _overlap(a: Candidate, b: Candidate) -> bool:
    return min(a.end_us, b.end_us) - max(a.start_us, b.start_us) > OVERLAP_SLACK_S * 1e6


def _visits(
    seen: Sequence[_Seen], decision: Decision, sites: Mapping[str, CameraSite],
    settings: TraceSettings,
) -> tuple[Visit, ...]:  # fmt: skip
    ordered = sorted(seen, key=lambda s: (s.members[0].start_us, s.best.sighting_id.bytes))
    visits = []
    for k, one in enumerate(ordered):
        before = ordered[k - 1] if k and decision == "accepted" else None
        visits.append(
            Visit(
                camera_id=one.best.camera_id,
                start_us=one.members[0].start_us,
                end_us=max(c.end_us for c in one.members),
                sighting_ids=tuple(c.sighting_id for c in one.members),
                posterior=one.posterior,
                similarity=one.best.similarity,
                llr=one.best.llr,
                decision=decision,
                explanation=_explain(one, before, decision, sites, settings),
            )
        )
    return tuple(visits)


def _explain(
    seen: _Seen, before: _Seen | None, decision: Decision, sites: Mapping[str, CameraSite],
    settings: TraceSettings,
) -> str:  # fmt: skip
    count = len(seen.members)
    sightings = "One sighting" if count == 1 else f"{count} sightings, the best"
    mask = {"masked": "with a mask", "unmasked": "without a mask"}.get(
        seen.best.mask_state, "mask unclear"
    )
    evidence = (
        f"{sightings} of similarity {seen.best.similarity:.2f} ({mask}): "
        f"{_times(seen.best.llr)} for the subject than for a stranger."
    )
    if decision == "review":
        return (
            f"{evidence} Among {settings.sightings_searched:,} sightings such a stranger is to be "
            f"expected, and no accepted place makes it likely: not accepted without a look."
        )
    if before is None:
        return f"{evidence} The first place of the trace."
    return f"{evidence} {_way(before, seen, sites, settings)}"


def _times(llr: float) -> str:
    if llr < 0:
        return "no likelier"
    digits = 10 ** max(math.floor(llr / math.log(10)), 0)
    return f"about {round(math.exp(llr) / digits) * digits:,} times likelier"


def _way(
    before: _Seen, then: _Seen, sites: Mapping[str, CameraSite], settings: TraceSettings
) -> str:
    a, b = sites[before.best.camera_id], sites[then.best.camera_id]
    gap_s = (then.members[0].start_us - max(c.end_us for c in before.members)) / 1e6
    if a.camera_id == b.camera_id:
        return f"Back in the same place after {_duration(gap_s)}."
    between_m = math.hypot(a.x_m - b.x_m, a.y_m - b.y_m)
    least_s = walk_m(a, b, settings) / settings.speed_m_s
    return (
        f"{between_m:.0f} m from {a.camera_id} in {_duration(gap_s)}, "
        f"possible from {_duration(least_s)} on."
    )


def _duration(seconds: float) -> str:
    whole = max(round(seconds), 0)
    return f"{whole} s" if whole < 100 else f"{whole / 60:.0f} min"
