"""`evaluate`: one city, several cases, all figures."""

import resource
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from controller.adapters.calibrations import load_calibration
from sim.city.city import City
from sim.city.facts import check, facts
from sim.evaluate.baselines import best_threshold, greedy_nearest, threshold_only
from sim.evaluate.chain import CaseResult, run_case
from sim.evaluate.city import CityWorld, plan_of
from sim.evaluate.matching import least_of, search, table_of_rows
from sim.evaluate.score import (
    CityTruth,
    RouteScore,
    TraceScore,
    pooled,
    reliability,
    route_score,
    trace_score,
)
from sim.evaluate.settings import EvaluateSettings
from sim.evaluate.world import Truth, World

SPACE: Final = "mfn192-arc5-w2"
Bools = NDArray[np.bool_]
Progress = Callable[[str, int, int], None]
"""Told what is done, how far, and of how much."""


def evaluate(
    settings: EvaluateSettings, progress: Progress = lambda _what, _done, _all: None
) -> dict[str, Any]:
    """Return the figures of a synthetic city; `SimError` if the city itself is not honest."""
    progress("the city", 0, settings.cases)
    started_s = time.monotonic()
    plan = plan_of(settings)
    honesty = facts(plan)
    check(honesty, plan)
    world = CityWorld(
        City(plan), settings.photos, least=least_of(settings, load_calibration(SPACE))
    )
    made_s = time.monotonic() - started_s
    figures = evaluate_world(world, CityTruth(plan, world.sightings), settings, progress)
    figures["honesty"] = honesty
    figures["seconds_for_the_city"] = round(made_s, 1)
    figures["memory_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)
    return figures


@dataclass(frozen=True, slots=True)
class CaseFigures:
    """All that one case brings."""

    result: CaseResult
    trace: TraceScore
    before: TraceScore
    threshold: TraceScore
    greedy: TraceScore
    best_threshold: float
    route: RouteScore
    candidates: int
    look_alikes: int
    match_s: float


def evaluate_world(
    world: World, truth: Truth, settings: EvaluateSettings,
    progress: Progress = lambda _what, _done, _all: None,
) -> dict[str, Any]:  # fmt: skip
    """Return the figures of all cases of one city, as JSON would have them."""
    figures, mine = [], []
    for case in range(settings.cases):
        progress("case", case, settings.cases)
        owned = truth.mine(case)
        figures.append(_case(world, case, owned, truth.detectable(), settings))
        mine.append(owned)
    progress("case", settings.cases, settings.cases)
    return {
        "settings": asdict(settings),
        "city": _city(world, settings) | _passages(truth, settings),
        "trace": _trace(figures, settings, mine),
        "baselines": _baselines(figures),
        "route": _route(figures, len(world.graph)),
        "seconds_per_case": round(float(np.mean([f.result.seconds for f in figures])), 3),
        "cases": [_row(f) for f in figures],
    }


def _case(
    world: World, case: int, mine: Bools, detectable: Bools, settings: EvaluateSettings
) -> CaseFigures:
    started_s = time.monotonic()
    found = search(world, case, load_calibration(SPACE), settings)
    match_s = time.monotonic() - started_s
    result = run_case(world, found, case, settings)
    rows = np.flatnonzero(found.passes)
    table, _ = table_of_rows(world, found, rows)
    return CaseFigures(
        result=result,
        trace=trace_score(result.accepted, mine),
        before=trace_score(result.first_accepted, mine),
        threshold=trace_score(rows[threshold_only(table)], mine),
        greedy=trace_score(rows[greedy_nearest(table, world.graph)], mine),
        best_threshold=best_threshold(table, mine[rows], int(mine.sum())),
        route=route_score(result, mine, detectable, world.seen, world.graph),
        candidates=len(rows),
        look_alikes=int((~mine[rows]).sum()),
        match_s=match_s,
    )


def _passages(truth: Truth, settings: EvaluateSettings) -> dict[str, int]:
    each = [truth.passages(case) for case in range(settings.cases)]
    return {f"passages_{name}": sum(one[name] for one in each) for name in each[0]}


def _city(world: World, settings: EvaluateSettings) -> dict[str, Any]:
    return {
        "strangers_above": _quantiles(world, settings),
        "cameras": len(world.graph),
        "sightings_per_camera_day": round(world.sightings_per_day / len(world.graph), 1),
        "masked": round(float(world.seen.masked.mean()), 4) if len(world.seen) else 0.0,
        "published": round(float(world.seen.published.mean()), 4) if len(world.seen) else 0.0,
        "outages": len(world.outages),
    }


def _quantiles(world: World, settings: EvaluateSettings) -> dict[str, dict[str, float]]:
    """Return the cosines that one stranger in so many exceeds, by photo and sighting."""
    found = {}
    for p, photo in enumerate(settings.photos):
        samples = [world.stranger_sample(c, settings.photos) for c in range(settings.cases)]
        for code, state in enumerate(("unmasked", "masked")):
            values = np.concatenate([cosines[masks == code, p] for cosines, masks in samples])
            if len(values):
                found[f"{photo}-{state}"] = {
                    f"1e-{k}": round(float(np.quantile(values, 1 - 10.0**-k)), 3) for k in (2, 3)
                }
    return found


def _trace(
    figures: list[CaseFigures], settings: EvaluateSettings, mine: list[Bools]
) -> dict[str, Any]:
    days = settings.days * len(figures)
    return {
        **_scores([f.trace for f in figures]),
        "false_per_case_day": round(sum(f.trace.false for f in figures) / days, 4),
        "look_alikes_per_case_day": round(sum(f.look_alikes for f in figures) / days, 1),
        "before_asking": _scores([f.before for f in figures]),
        "for_review_per_case_day": round(sum(len(f.result.review) for f in figures) / days, 1),
        **reliability([f.result for f in figures], mine),
    }


def _scores(scores: list[TraceScore]) -> dict[str, float]:
    whole = pooled(scores)
    return {
        "idf1": round(whole.idf1, 4),
        "idf1_mean_of_cases": round(float(np.mean([s.idf1 for s in scores])), 4),
        "precision": round(whole.precision, 4),
        "recall": round(whole.recall, 4),
    }


def _baselines(figures: list[CaseFigures]) -> dict[str, Any]:
    return {
        "threshold_only": _scores([f.threshold for f in figures]),
        "greedy_nearest_in_time": _scores([f.greedy for f in figures]),
        "best_threshold_in_hindsight": {
            "idf1_mean_of_cases": round(float(np.mean([f.best_threshold for f in figures])), 4)
        },
    }


def _route(figures: list[CaseFigures], cameras: int) -> dict[str, Any]:
    """Return who was asked and what it brought.

    Sightings are known (a candidate), recovered (accepted, or shown for review) and accepted.
    """
    routes = [f.route for f in figures]
    held = max(sum(r.holders for r in routes), 1)
    total = max(sum(r.detectable for r in routes), 1)

    def share(name: str) -> float:
        return round(float(sum(getattr(r, name) for r in routes)) / total, 4)

    asked = [len(f.result.asked) for f in figures]
    return {
        "agents_asked_share": round(float(np.mean(asked)) / cameras, 5),
        "agents_asked_per_case": round(float(np.mean(asked)), 1),
        "holders_asked_share": round(sum(r.reached for r in routes) / held, 4),
        "others_per_holder": round(sum(r.others for r in routes) / held, 4),
        "cases_with_all_holders_asked": sum(r.reached == r.holders for r in routes),
        "known_with_routing": share("known"),
        "known_without_routing": share("known_before"),
        "recovered_with_routing": share("offered"),
        "recovered_without_routing": share("offered_before"),
        "accepted_with_routing": share("accepted"),
        "accepted_without_routing": share("accepted_before"),
    }


def _row(f: CaseFigures) -> dict[str, Any]:
    return {
        "true": f.trace.true,
        "accepted_right": f.trace.right,
        "accepted_false": f.trace.false,
        "idf1": round(f.trace.idf1, 4),
        "idf1_before_asking": round(f.before.idf1, 4),
        "candidates": f.candidates,
        "look_alikes": f.look_alikes,
        "for_review": len(f.result.review),
        "agents_holding": f.route.holders,
        "agents_asked": len(f.result.asked),
        "holders_asked": f.route.reached,
        "others_asked": f.route.others,
        "queries": f.result.queries,
        "match_s": round(f.match_s, 3),
        "trace_and_route_s": round(f.result.seconds, 3),
    }
