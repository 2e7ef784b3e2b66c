"""One investigation, step by step: match, trace, route, ask, assess, collect, report."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC
from typing import Final
from uuid import UUID

from controller.domain.contacts import ContactRule, assess_contacts, load_rule
from controller.domain.contacts_rules import infectious_window
from controller.domain.match import Calibration
from controller.domain.types import CameraSite, Candidate, ContactAssessment, Trace
from controller.services.asking import Answer, AskingService, Question
from controller.services.case_request import cameras_in_scope
from controller.services.case_trace import CaseTracing, Retraced
from controller.services.cases import CaseService
from controller.services.enrolment import Enrolment
from controller.services.evidence import EvidenceService
from controller.services.fleet import FleetService
from controller.services.keys import KeyService
from controller.services.lookback import Lookbacks
from controller.services.match_found import Found, MatchRequest, MatchSettings
from controller.services.match_together import SharedMatcher
from controller.services.ports import GalleryScope
from controller.services.refusals import Conflict
from controller.services.reporting import Outcome, write_report
from controller.services.stores import QueryStore
from controller.services.values import Agent, Case, CaseState, Principal
from controller.services.views import Views
from wire.limits import MAX_TRACKLET_IDS_PER_QUERY
from wire.messages import QueryKind, QuerySecrets

_LOG: Final = logging.getLogger(__name__)
_MARGIN_US: Final = 5_000_000
_NOBODY: Final = 1.001


@dataclass(frozen=True, slots=True)
class Limits:
    """How far one investigation reaches, and how long it waits."""

    false_candidates_per_day: float = 20.0
    reply_timeout_s: float = 60.0
    max_pictures: int = 6
    away_ttl_s: float = 86_400.0
    """How long a question waits at the broker for an agent that is away."""


@dataclass(frozen=True, slots=True)
class InvestigationParts:
    """What an investigation is built from; `calibration` gives the one of a space."""

    cases: CaseService
    fleet: FleetService
    matcher: SharedMatcher
    keys: KeyService
    asking: AskingService
    evidence: EvidenceService
    queries: QueryStore
    tracing: CaseTracing
    calibration: Callable[[str], Calibration]
    now_us: Callable[[], int]


@dataclass(slots=True)
class _Work:
    """One investigation under way."""

    case: Case
    agents: dict[str, Agent]
    sites: dict[str, CameraSite]
    probes: Sequence[Enrolment]
    calibration: Calibration
    lookbacks: Lookbacks
    timings: dict[str, float] = field(default_factory=dict)

    @property
    def space_id(self) -> str:
        """The space that the probes are of."""
        return self.probes[0].space_id


class Investigation:
    """Runs investigations; every step needs an approved, open, unexpired case."""

    def __init__(self, parts: InvestigationParts, limits: Limits) -> None:
        self._parts = parts
        self._limits = limits
        self._rule = load_rule()

    def run(self, case_id: UUID) -> None:
        """Do the whole job for one case; raises `Refusal` as soon as the case may not go on."""
        started_s = time.monotonic()
        work = self._begin(case_id)
        with self._step(work, "match"):
            found = self._match(work)
        with self._step(work, "trace"):
            first = self._parts.tracing.trace(work.case, found)
        with self._step(work, "lookback"):
            answers = self._look_back(work, first)
        with self._step(work, "contacts"):
            final = self._parts.tracing.trace(work.case, found, self._further(work, answers))
            contacts = self._contacts(work, final, answers)
        with self._step(work, "evidence"):
            self._collect(work, final)
        with self._step(work, "report"):
            work.timings["total"] = time.monotonic() - started_s
            self._write(work, final, contacts)

    def refresh(self, case_id: UUID) -> Retraced:
        """Make trace, contacts and report anew with what people and late answers said since.

        Searches nothing and asks nobody. Raises `Refusal` for a case that may not go on, that is
        investigated now, or of which nothing is kept.
        """
        work = self._begin(case_id)
        if work.case.state is CaseState.RUNNING:
            raise Conflict("state", "an investigation of this case is running; wait for it")
        answers = self._parts.asking.answers(case_id, QueryKind.LOOKBACK)
        again = self._parts.tracing.again(case_id, self._further(work, answers))
        self._write(work, again.trace, self._contacts(work, again.trace, answers))
        return again

    def prepare(self, case_id: UUID, by: Principal) -> None:
        """Search and trace only, so that a plan can be shown before anybody is asked."""
        self._parts.cases.begin(case_id, by)
        fault = "the search was not finished; try again"
        try:
            work = self._begin(case_id)
            with self._step(work, "match"):
                found = self._match(work)
            with self._step(work, "trace"):
                self._parts.tracing.trace(work.case, found)
            fault = ""
        finally:
            self._parts.cases.finish(case_id, fault=fault)

    def _begin(self, case_id: UUID) -> _Work:
        case = self._parts.cases.require_active(case_id)
        agents = cameras_in_scope(case.scope, self._parts.fleet.agents())
        probes = self._parts.cases.probes(case)
        calibration = self._parts.calibration(probes[0].space_id)
        return _Work(
            case=case,
            agents={agent.camera_id: agent for agent in agents},
            lookbacks=Lookbacks(case, self._parts.keys, probes, calibration),
            sites={
                agent.camera_id: CameraSite(agent.camera_id, agent.agent_id, agent.x_m, agent.y_m)
                for agent in agents
            },
            probes=probes,
            calibration=calibration,
        )

    @contextmanager
    def _step(self, work: _Work, name: str) -> Iterator[None]:
        self._parts.cases.require_active(work.case.case_id)
        self._parts.cases.progress(work.case.case_id, name)
        started_s = time.monotonic()
        yield
        work.timings[name] = time.monotonic() - started_s
        _LOG.info("event=step_done case=%s step=%s seconds=%.3f",
                  work.case.case_id, name, work.timings[name])  # fmt: skip

    def request(self, case_id: UUID) -> MatchRequest:
        """Return what the case's search asks for; raises `Refusal` if the case may not go on."""
        return self._request(self._begin(case_id))

    def _request(self, work: _Work) -> MatchRequest:
        return MatchRequest(
            work.case.case_id, work.probes, self._scope(work), work.calibration,
            MatchSettings(self._limits.false_candidates_per_day),
        )  # fmt: skip

    def _match(self, work: _Work) -> Found:
        case_id = work.case.case_id

        def progress(done: int, total: int) -> None:
            step = f"match: {done / 1e6:.1f} of {total / 1e6:.1f} million sightings"
            self._parts.cases.progress(case_id, step)

        return self._parts.matcher.match(self._request(work), progress)

    def _scope(self, work: _Work) -> GalleryScope:
        scope = work.case.scope
        everything = not scope.camera_ids and scope.area is None
        cameras = None if everything else tuple(sorted(work.agents))
        return GalleryScope(scope.start_us, scope.end_us, work.space_id, cameras)

    def _look_back(self, work: _Work, first: Trace) -> Sequence[Answer]:
        by_camera: dict[str, list[UUID]] = {}
        for visit in first.visits:
            by_camera.setdefault(visit.camera_id, []).extend(visit.sighting_ids)
        sent = []
        for ask in self._parts.tracing.asks(work.case, first):
            away = ask.when == "when back"
            camera_id = ask.query.camera_id
            question = work.lookbacks.question(
                ask.query, work.agents[camera_id], by_camera.get(camera_id, []),
                self._limits.away_ttl_s if away else None,
            )  # fmt: skip
            query_id = self._parts.asking.new_id()
            self._parts.asking.ask(work.case.case_id, query_id, question)
            if not away:
                sent.append(query_id)
        return self._wait(work, sent)

    def _wait(self, work: _Work, query_ids: Sequence[UUID]) -> Sequence[Answer]:
        if not query_ids:
            return []
        return self._parts.asking.wait(
            work.case.case_id, query_ids, timeout_s=self._limits.reply_timeout_s
        )

    def _further(self, work: _Work, answers: Sequence[Answer]) -> list[Candidate]:
        views = Views(work.case.case_id, self._parts.keys, work.agents)
        return views.candidates(answers, work.probes, work.calibration)

    def _contacts(
        self, work: _Work, final: Trace, answers: Sequence[Answer]
    ) -> tuple[ContactAssessment, ...]:
        views = Views(work.case.case_id, self._parts.keys, work.agents)
        accepted = frozenset(i for visit in final.visits for i in visit.sighting_ids)
        seen = views.views(
            answers, accepted, not_before_us=_infectious_from_us(work.case, self._rule)
        )
        seed = work.case.case_id.int & 0xFFFF_FFFF
        return assess_contacts(seen, self._rule, work.calibration, seed=seed)

    def _collect(self, work: _Work, final: Trace) -> None:
        away = self._parts.tracing.away()
        # Who is away is asked for pictures by the next investigation: a grant does not live long.
        there = [
            name for name in _cameras(final) if work.agents[name].agent_id not in away
        ] if self._limits.max_pictures else []  # fmt: skip
        sent = [self._ask_for_pictures(work, camera_id, final) for camera_id in there]
        for answer in self._wait(work, sent):
            for body in answer.evidence:
                self._parts.evidence.accept(answer.query.query_id, work.case.case_id, body)

    def _ask_for_pictures(self, work: _Work, camera_id: str, final: Trace) -> UUID:
        agent = work.agents[camera_id]
        visits = [visit for visit in final.visits if visit.camera_id == camera_id]
        start_us, end_us = work.lookbacks.inside(
            min(visit.start_us for visit in visits) - _MARGIN_US,
            max(visit.end_us for visit in visits) + _MARGIN_US,
        )
        query_id = self._parts.asking.new_id()
        expires_us = self._parts.now_us() + round(self._limits.reply_timeout_s * 1e6)
        url = self._parts.evidence.grant(
            work.case.case_id, query_id, camera_id,
            expires_us=min(expires_us, work.case.expires_us),
            max_pictures=self._limits.max_pictures,
        )  # fmt: skip
        ids = [one for visit in visits for one in visit.sighting_ids]
        secrets = QuerySecrets(
            space_id=work.space_id,
            # Pictures only of accepted sightings: nobody passes by similarity alone.
            probes=work.lookbacks.protected(agent, start_us, end_us, [_NOBODY] * len(work.probes)),
            sighting_ids=tuple(ids[:MAX_TRACKLET_IDS_PER_QUERY]),
            upload_url=url,
            max_pictures=self._limits.max_pictures,
        )
        reason = "saw the subject: redacted pictures for the people who review the trace"
        question = Question(agent, QueryKind.EVIDENCE, start_us, end_us, reason, secrets)
        self._parts.asking.ask(work.case.case_id, query_id, question)
        return query_id

    def _write(self, work: _Work, final: Trace, contacts: tuple[ContactAssessment, ...]) -> None:
        case_id = work.case.case_id
        searched, complete = self._parts.tracing.searched(case_id)
        told = self._parts.asking.answers(case_id, QueryKind.EVIDENCE)
        outcome = Outcome(
            trace=final,
            contacts=contacts,
            searched=searched,
            search_complete=complete,
            withheld=sum(body.withheld for answer in told for body in answer.evidence),
            sites=work.sites,
            agents_total=len(self._parts.fleet.agents()),
            timings=work.timings,
            rule=self._rule.name,
        )
        contents = write_report(
            work.case, outcome, self._parts.queries.queries(case_id),
            self._parts.evidence.pictures(case_id), generated_us=self._parts.now_us(),
        )  # fmt: skip
        for kind, content in contents.items():
            self._parts.cases.put_result(work.case, kind, content)


def _cameras(final: Trace) -> list[str]:
    return list(dict.fromkeys(visit.camera_id for visit in final.visits))


def _infectious_from_us(case: Case, rule: ContactRule) -> int:
    window = infectious_window(rule, onset=case.onset_date, specimen=case.specimen_date, zone=UTC)
    return case.scope.start_us if window is None else window.start_us
