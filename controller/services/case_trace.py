"""The trace of a case, kept so that a plan can be shown and a reviewer's word takes effect at once.

What the search found is kept under the case's key: a plan or a verdict traces it again, without
another search and without asking anybody.
"""

import io
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import numpy as np

from controller.domain.candidates import CandidateTable, joined
from controller.domain.route import AgentStates, Ask, RoutePlan, RouteSettings, route
from controller.domain.trace import TraceSettings, trace_table
from controller.domain.trace_explain import as_trace
from controller.domain.trace_faces import FaceScores, scores_of_llrs, scores_of_table
from controller.domain.trace_nodes import table_of
from controller.domain.traffic import Traffic
from controller.domain.travel import TravelGraph, graph_of_sites
from controller.domain.types import CameraSite, Candidate, Trace
from controller.services.case_request import cameras_in_scope
from controller.services.cases import CaseService
from controller.services.fleet import FleetService
from controller.services.interview import InterviewService, Verdict
from controller.services.match_found import Found
from controller.services.refusals import NotFound
from controller.services.stores import QueryStore
from controller.services.values import Case, Principal
from wire.times import EPOCH_US

KIND: Final = "candidates.npz"
MAX_KEPT: Final = 100_000
"""Candidates kept of one case; beyond it those with the least evidence are left out."""
_COLUMNS: Final = ("ids", "camera", "start_us", "end_us", "time_uncertainty_s", "mask", "quality",
                   "similarity", "llr", "probe")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Kept:
    """What a trace of a case needs: candidates, their scores, and how many were searched."""

    table: CandidateTable
    scores: FaceScores
    searched: int
    complete: bool = True

    def and_further(self, further: Sequence[Candidate]) -> "Kept":
        """Return it with candidates that are not in it yet, as agents told of them later."""
        known = {one.tobytes() for one in self.table.ids}
        new = table_of([one for one in further if one.sighting_id.bytes not in known])
        if not len(new):
            return self
        told = scores_of_llrs(new)
        scores = {
            ids.tobytes(): pair
            for part, own in ((self.table, self.scores), (new, told))
            for ids, *pair in zip(part.ids, own.strange, own.usual, strict=True)
        }
        table = joined([self.table, new])
        pairs = np.array([scores[one.tobytes()] for one in table.ids], np.float64).reshape(-1, 2)
        return Kept(table, FaceScores(pairs[:, 0], pairs[:, 1]), self.searched, self.complete)

    def to_bytes(self) -> bytes:
        """Return it as one file."""
        out = io.BytesIO()
        columns = {name: getattr(self.table, name) for name in _COLUMNS}
        np.savez_compressed(
            out, **columns, cameras=np.array(self.table.cameras, "U64"),
            strange=self.scores.strange, usual=self.scores.usual, searched=self.searched,
            complete=self.complete,
        )  # fmt: skip
        return out.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> "Kept":
        """Read what `to_bytes` wrote."""
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            table = CandidateTable(
                cameras=tuple(str(name) for name in file["cameras"]),
                **{name: file[name] for name in _COLUMNS},
            )
            scores = FaceScores(file["strange"], file["usual"])
            return cls(table, scores, int(file["searched"]), bool(file["complete"]))


@dataclass(frozen=True, slots=True)
class Retraced:
    """A trace that was computed again, and in how many seconds."""

    trace: Trace
    seconds: float


class CaseTracing:
    """Traces what was found of a case, with what the person said and reviewers decided."""

    def __init__(
        self, cases: CaseService, fleet: FleetService, interview: InterviewService,
        queries: QueryStore, budget: RouteSettings,
    ) -> None:  # fmt: skip
        self._cases, self._fleet, self._interview = cases, fleet, interview
        self._queries, self._budget = queries, budget

    def trace(self, case: Case, found: Found, further: Sequence[Candidate] = ()) -> Trace:
        """Return the trace of a search and of what agents added, and keep both for the next."""
        kept = kept_of(found, further)
        self._cases.put_result(case, KIND, kept.to_bytes())
        return self._traced(case, kept)

    def judge(self, case_id: UUID, sighting_id: UUID, verdict: Verdict, by: Principal) -> None:
        """Take a reviewer's word on one sighting; the next trace follows it."""
        _, kept = self._last(case_id)
        known = {one.tobytes() for one in kept.table.ids}
        if sighting_id.bytes not in known:
            raise NotFound("sighting_id", "is no candidate of this case; see the report")
        self._interview.judge(case_id, sighting_id, verdict, by)

    def searched(self, case_id: UUID) -> tuple[int, bool]:
        """Return how many sightings the last search looked at, and whether it was whole."""
        _, kept = self._last(case_id)
        return kept.searched, kept.complete

    def again(self, case_id: UUID, further: Sequence[Candidate] = ()) -> Retraced:
        """Trace what is kept once more, with all that people and late answers have said since."""
        case, kept = self._last(case_id)
        grown = kept.and_further(further)
        if len(grown.table) > len(kept.table):
            kept = grown
            self._cases.put_result(case, KIND, kept.to_bytes())
        started_s = time.monotonic()
        found = self._traced(case, kept)
        return Retraced(found, time.monotonic() - started_s)

    def plan(self, case_id: UUID) -> RoutePlan:
        """Return who would be asked now, and why; asks nobody."""
        case, kept = self._last(case_id)
        graph = self._graph(case)
        return self._plan(case, self._traced(case, kept), graph)

    def asks(self, case: Case, trace: Trace) -> tuple[Ask, ...]:
        """Return what is to be asked about a trace now, or of agents that are away.

        Agents that had their share of questions in this hour are left to the next investigation.
        """
        plan = self._plan(case, trace, self._graph(case))
        return tuple(ask for ask in plan.asks if ask.when != "next hour")

    def away(self) -> frozenset[str]:
        """Return the agents that were there once and are not now."""
        return frozenset(
            one.agent.agent_id
            for one in self._fleet.statuses()
            if _gone(one.online, one.last_seen_us)
        )

    def _plan(self, case: Case, trace: Trace, graph: TravelGraph) -> RoutePlan:
        asked = {query.agent_id for query in self._queries.queries(case.case_id)}
        states = AgentStates(offline=self.away(), asked=frozenset(asked))
        return route(trace, graph, self._budget, agents=states)

    def _last(self, case_id: UUID) -> tuple[Case, Kept]:
        case = self._cases.require_active(case_id)
        content = self._cases.kept(case, KIND)
        if content is None:
            raise NotFound("trace", "nothing was searched yet; investigate the case first")
        return case, Kept.from_bytes(content)

    def _graph(self, case: Case) -> TravelGraph:
        agents = cameras_in_scope(case.scope, self._fleet.agents())
        sites = {a.camera_id: CameraSite(a.camera_id, a.agent_id, a.x_m, a.y_m) for a in agents}
        return graph_of_sites(sites)

    def _traced(self, case: Case, kept: Kept) -> Trace:
        graph = self._graph(case)
        days = max((case.scope.end_us - case.scope.start_us) / EPOCH_US, 1 / 24)
        settings = TraceSettings(
            sightings_searched=max(kept.searched, 1), searched_s=days * 86_400.0,
            sightings_expected=EXPECTED_PER_DAY * max(days, 0.5),
        )  # fmt: skip
        found = trace_table(
            kept.table, graph, settings, scores=kept.scores,
            anchors=self._interview.anchors(case), verdicts=self._interview.verdicts(case),
            traffic=_traffic(kept, graph, days),
        )  # fmt: skip
        return as_trace(found, kept.table, settings.merge_gap_s)


EXPECTED_PER_DAY: Final = 20.0
"""Sightings of one person in a day that a search expects: the prior, not a result."""


def kept_of(found: Found, further: Sequence[Candidate]) -> Kept:
    """Return candidates of the search and of agents; what the gallery said of one goes first."""
    table = joined([found.table, table_of(further)])
    if len(table) > MAX_KEPT:
        best = np.argpartition(-table.llr, MAX_KEPT)[:MAX_KEPT]
        table = table.rows(np.sort(best))
    return Kept(table, scores_of_table(table, found.point), found.searched, found.complete)


def _traffic(kept: Kept, graph: TravelGraph, days: float) -> Traffic:
    place = {name: i for i, name in enumerate(graph.camera_ids)}
    known = np.array([place.get(name, -1) for name in kept.table.cameras], np.int64)
    camera = known[kept.table.camera] if len(kept.table) else np.empty(0, np.int64)
    seen = camera >= 0
    return Traffic.of(
        camera[seen], kept.table.start_us[seen], cameras=len(graph), days=days,
        total=max(kept.searched, 1),
    )  # fmt: skip


def _gone(online: bool, last_seen_us: int | None) -> bool:
    # A box that was never heard of may simply not have said anything yet.
    return not online and last_seen_us is not None
