"""Figures against the truth; the only part of the evaluation that may know it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from controller.domain.travel import TravelGraph
from sim.city.truth import Truth
from sim.city.types import U64, CityPlan
from sim.evaluate.chain import CaseResult
from sim.evaluate.world import Seen

Bools = NDArray[np.bool_]
I64 = NDArray[np.int64]


class CityTruth:
    """Who is who among the sightings of a world."""

    def __init__(self, plan: CityPlan, sightings: U64) -> None:
        self._truth = Truth(plan)
        self._cases = self._truth.cases_of(sightings)

    def mine(self, case: int) -> Bools:
        """Return (n,) whether each tracklet is the subject's."""
        return np.asarray(self._cases == case)

    def detectable(self) -> Bools:
        """Return (n,) True: boxes make tracklets of detectable passages only."""
        return np.ones(len(self._cases), bool)

    def passages(self, case: int) -> dict[str, int]:
        """Return how often the subject passed a camera, and what became of it."""
        passed = self._truth.passed(case)
        held = passed.sighting != 0
        return {
            "detectable": int(passed.detectable.sum()),
            "missed_by_boxes": int((passed.detectable & ~held).sum()),
            "camera_down": int(passed.down.sum()),
        }


@dataclass(frozen=True, slots=True)
class TraceScore:
    """Counts of one case (or, added up, of many).

    `true` tracklets of the subject that agents hold, `right` and `false` accepted ones; `IDF1` is
    of Ristani et al., "Performance measures for multi-target, multi-camera tracking", 2016.
    """

    true: int
    right: int
    false: int

    @property
    def precision(self) -> float:
        """Return the share of accepted sightings that are the subject's; 1 where none is."""
        taken = self.right + self.false
        return self.right / taken if taken else 1.0

    @property
    def recall(self) -> float:
        """Return the share of the subject's sightings that are accepted; 1 where there is none."""
        return self.right / self.true if self.true else 1.0

    @property
    def idf1(self) -> float:
        """Return twice the right over accepted and true; 1 where both are none."""
        total = self.right + self.false + self.true
        return 2 * self.right / total if total else 1.0


@dataclass(frozen=True, slots=True)
class RouteScore:
    """Who was asked in one case, and what of the detectable sightings came to be known.

    `holders` agents that hold a detectable sighting of the subject, `reached` of them that were
    asked, `others` asked that hold none. Of `detectable` sightings: `known` those that are
    candidates, `offered` those that are accepted or for review, `accepted`; each also `before`
    asking.
    """

    holders: int
    reached: int
    others: int
    detectable: int
    known: int
    known_before: int
    offered: int
    offered_before: int
    accepted: int
    accepted_before: int


def trace_score(accepted: I64, mine: NDArray[np.bool_]) -> TraceScore:
    """Return the counts of accepted rows against which rows are the subject's."""
    right = int(mine[accepted].sum())
    return TraceScore(int(mine.sum()), right, len(accepted) - right)


def route_score(
    result: CaseResult, mine: NDArray[np.bool_], detectable: NDArray[np.bool_], seen: Seen,
    graph: TravelGraph,
) -> RouteScore:  # fmt: skip
    """Return who was asked against who holds the subject."""
    wanted = mine & detectable
    holders = {graph.agent_ids[c] for c in np.unique(seen.camera[wanted])}
    anybody = {graph.agent_ids[c] for c in np.unique(seen.camera[mine])}
    return RouteScore(
        holders=len(holders),
        reached=len(holders & result.asked),
        others=len(result.asked - anybody),
        detectable=int(wanted.sum()),
        known=int(wanted[result.known].sum()),
        known_before=int(wanted[result.first_known].sum()),
        offered=int(wanted[result.accepted].sum() + wanted[result.review].sum()),
        offered_before=int(wanted[result.first_accepted].sum() + wanted[result.first_review].sum()),
        accepted=int(wanted[result.accepted].sum()),
        accepted_before=int(wanted[result.first_accepted].sum()),
    )


def pooled(scores: Sequence[TraceScore]) -> TraceScore:
    """Return the counts of several cases added up."""
    return TraceScore(
        sum(s.true for s in scores), sum(s.right for s in scores), sum(s.false for s in scores)
    )


def reliability(
    results: Sequence[CaseResult], mine: Sequence[NDArray[np.bool_]]
) -> dict[str, float]:
    """Return what accepted posteriors promise against what came true: errors expected and made."""
    expected = sum(float((1 - r.posterior).sum()) for r in results)
    made = sum(int((~m[r.accepted]).sum()) for r, m in zip(results, mine, strict=True))
    return {"errors_expected": round(expected, 2), "errors_made": float(made)}
