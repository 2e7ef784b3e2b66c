"""One investigation, step by step: match, trace, route, ask, assess, collect, report."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC
from typing import Final
from uuid import UUID

import numpy as np

from controller.domain.candidates import MASK_STATES
from controller.domain.contacts import ContactRule, assess_contacts, load_rule
from controller.domain.contacts_rules import infectious_window
from controller.domain.match import Calibration
from controller.domain.types import CameraSite, ContactAssessment, PlannedQuery, Trace
from controller.services.asking import Answer, AskingService, Question
from controller.services.case_request import cameras_in_scope
from controller.services.case_trace import CaseTracing
from controller.services.cases import CaseService
from controller.services.enrolment import Enrolment
from controller.services.evidence import EvidenceService
from controller.services.fleet import FleetService
from controller.services.keys import KeyService
from controller.services.match import Found, MatchRequest, MatchSettings
from controller.services.match_together import SharedMatcher
from controller.services.ports import GalleryScope
from controller.services.reporting import Outcome, write_report
from controller.services.stores import QueryStore
from controller.services.values import Agent, Case, Principal
from controller.services.views import Views
from wire.limits import MAX_PROBES_PER_QUERY, MAX_TRACKLET_IDS_PER_QUERY
from wire.messages import Probe, QueryKind, QuerySecrets
from wire.protection import template_to_bytes
from wire.times import epoch_of_us

_LOG: Final = logging.getLogger(__name__)
_LOCAL_STRANGERS: Final = 2_000
_LOCAL_FALSE: Final = 0.5
_MARGIN_US: Final = 5_000_000
_LONGEST_TRACKLET_US: Final = 3_600_000_000
_NOBODY: Final = 1.001


@dataclass(frozen=True, slots=True)
class Limits:
    """How far one investigation reaches, and how long it waits."""

    false_candidates_per_day: float = 20.0
    reply_timeout_s: float = 60.0
    max_pictures: int = 6


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
            final, contacts = self._assess(work, found, answers)
        with self._step(work, "evidence"):
            withheld = self._collect(work, final)
        with self._step(work, "report"):
            work.timings["total"] = time.monotonic() - started_s
            outcome = Outcome(
                trace=final,
                contacts=contacts,
                searched=found.searched,
                search_complete=found.complete,
                withheld=withheld,
                sites=work.sites,
                agents_total=len(self._parts.fleet.agents()),
                timings=work.timings,
                rule=self._rule.name,
            )
            self._write(work, outcome)

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
        return _Work(
            case=case,
            agents={agent.camera_id: agent for agent in agents},
            sites={
                agent.camera_id: CameraSite(agent.camera_id, agent.agent_id, agent.x_m, agent.y_m)
                for agent in agents
            },
            probes=probes,
            calibration=self._parts.calibration(probes[0].space_id),
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

    def _match(self, work: _Work) -> Found:
        request = MatchRequest(
            work.case.case_id, work.probes, self._scope(work), work.calibration,
            MatchSettings(self._limits.false_candidates_per_day),
        )  # fmt: skip
        case_id = work.case.case_id

        def progress(done: int, total: int) -> None:
            step = f"match: {done / 1e6:.1f} of {total / 1e6:.1f} million sightings"
            self._parts.cases.progress(case_id, step)

        return self._parts.matcher.match(request, progress)

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
        for planned in self._parts.tracing.questions(work.case, first):
            mine = by_camera.get(planned.camera_id, [])
            question = self._lookback(work, planned, mine)
            query_id = self._parts.asking.new_id()
            self._parts.asking.ask(work.case.case_id, query_id, question)
            sent.append(query_id)
        return self._wait(work, sent)

    def _lookback(
        self, work: _Work, planned: PlannedQuery, sighting_ids: Sequence[UUID]
    ) -> Question:
        agent = work.agents[planned.camera_id]
        start_us, end_us = self._inside(work, planned.start_us, planned.end_us)
        limits = [self._local_threshold(work, probe) for probe in work.probes]
        secrets = QuerySecrets(
            space_id=work.space_id,
            probes=self._probes(work, agent, start_us, end_us, limits),
            sighting_ids=tuple(sighting_ids[:MAX_TRACKLET_IDS_PER_QUERY]),
        )
        return Question(agent, QueryKind.LOOKBACK, start_us, end_us, planned.reason, secrets)

    def _inside(self, work: _Work, start_us: int, end_us: int) -> tuple[int, int]:
        # A margin around a visit must not reach beyond what was approved.
        scope = work.case.scope
        start_us = min(max(start_us, scope.start_us), scope.end_us)
        return start_us, max(start_us, min(end_us, scope.end_us))

    def _probes(
        self, work: _Work, agent: Agent, start_us: int, end_us: int, limits: Sequence[float]
    ) -> tuple[Probe, ...]:
        known = self._parts.keys.known_epochs()
        # A tracklet belongs to the day it began in: the day before may reach into the window.
        days = range(epoch_of_us(start_us - _LONGEST_TRACKLET_US), epoch_of_us(end_us) + 1)
        embeddings = np.stack([probe.embedding for probe in work.probes])
        probes = []
        for day in (one for one in days if one in known):
            rotated = self._parts.keys.rotate_probe(
                work.case.case_id, embeddings, epoch=day, shard=agent.shard
            )
            for row, limit in zip(rotated, limits, strict=True):
                template = template_to_bytes(row)
                probes.append(
                    Probe(epoch=day, shard=agent.shard, template=template, min_similarity=limit)
                )
        return tuple(probes[:MAX_PROBES_PER_QUERY])

    def _local_threshold(self, work: _Work, probe: Enrolment) -> float:
        # One agent's store is small, so few strangers come through; the trace decides about them.
        return min(
            work.calibration.pair(probe.mask_state, state).threshold(
                strangers=_LOCAL_STRANGERS, false_candidates=_LOCAL_FALSE
            )
            for state in MASK_STATES
        )

    def _wait(self, work: _Work, query_ids: Sequence[UUID]) -> Sequence[Answer]:
        if not query_ids:
            return []
        return self._parts.asking.wait(
            work.case.case_id, query_ids, timeout_s=self._limits.reply_timeout_s
        )

    def _assess(
        self, work: _Work, found: Found, answers: Sequence[Answer]
    ) -> tuple[Trace, tuple[ContactAssessment, ...]]:  # fmt: skip
        views = Views(work.case.case_id, self._parts.keys, work.agents)
        further = views.candidates(answers, work.probes, work.calibration)
        final = self._parts.tracing.trace(work.case, found, further)
        accepted = frozenset(i for visit in final.visits for i in visit.sighting_ids)
        seen = views.views(
            answers, accepted, not_before_us=_infectious_from_us(work.case, self._rule)
        )
        seed = work.case.case_id.int & 0xFFFF_FFFF
        return final, assess_contacts(seen, self._rule, work.calibration, seed=seed)

    def _collect(self, work: _Work, final: Trace) -> int:
        sent = []
        if self._limits.max_pictures:
            sent = [self._ask_for_pictures(work, camera_id, final) for camera_id in _cameras(final)]
        withheld = 0
        for answer in self._wait(work, sent):
            for body in answer.evidence:
                withheld += body.withheld
                self._parts.evidence.accept(answer.query.query_id, work.case.case_id, body)
        return withheld

    def _ask_for_pictures(self, work: _Work, camera_id: str, final: Trace) -> UUID:
        agent = work.agents[camera_id]
        visits = [visit for visit in final.visits if visit.camera_id == camera_id]
        start_us, end_us = self._inside(
            work,
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
            probes=self._probes(work, agent, start_us, end_us, [_NOBODY] * len(work.probes)),
            sighting_ids=tuple(ids[:MAX_TRACKLET_IDS_PER_QUERY]),
            upload_url=url,
            max_pictures=self._limits.max_pictures,
        )
        reason = "saw the subject: redacted pictures for the people who review the trace"
        question = Question(agent, QueryKind.EVIDENCE, start_us, end_us, reason, secrets)
        self._parts.asking.ask(work.case.case_id, query_id, question)
        return query_id

    def _write(self, work: _Work, outcome: Outcome) -> None:
        pictures = self._parts.evidence.pictures(work.case.case_id)
        queries = self._parts.queries.queries(work.case.case_id)
        contents = write_report(
            work.case, outcome, queries, pictures, generated_us=self._parts.now_us()
        )
        for kind, content in contents.items():
            self._parts.cases.put_result(work.case, kind, content)


def _cameras(final: Trace) -> list[str]:
    return list(dict.fromkeys(visit.camera_id for visit in final.visits))


def _infectious_from_us(case: Case, rule: ContactRule) -> int:
    window = infectious_window(rule, onset=case.onset_date, specimen=case.specimen_date, zone=UTC)
    return case.scope.start_us if window is None else window.start_us
