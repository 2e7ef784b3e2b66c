"""Puts the controller together: the one place where concrete classes are chosen."""

from controller.adapters.blas import one_thread_each
from controller.adapters.calibrations import load_calibration
from controller.adapters.clock import SystemClock
from controller.adapters.enroller import ProcessEnroller
from controller.adapters.evidence_files import EvidenceFolder
from controller.adapters.gallery import Gallery
from controller.adapters.records.cases import SqlCases, SqlEvidence, SqlQueries
from controller.adapters.records.engine import Database
from controller.adapters.records.fleet import SqlEpochKeys
from controller.adapters.records.ingest import SqlReplies
from controller.adapters.records.people import SqlAccounts, SqlAudit
from controller.adapters.records.quarantine import SqlQuarantine
from controller.adapters.records.seen import FreshFleet, SeenAgents
from controller.adapters.vault import open_vault, read_signing_key
from controller.api.app import ApiParts, create_app
from controller.build_backup import build_backup
from controller.build_ingest import build_broker, build_ingest, figures, stats
from controller.config import Config
from controller.domain.route import RouteSettings
from controller.process import Controller, Stores
from controller.services.accounts import AccountService
from controller.services.asking import AskingParts, AskingService
from controller.services.background import BackgroundInvestigator
from controller.services.case_trace import CaseTracing
from controller.services.cases import CaseParts, CaseService
from controller.services.enrolment import Enroller
from controller.services.evidence import EvidenceParts, EvidenceService
from controller.services.explanation import Explanations
from controller.services.fleet import FleetService
from controller.services.gallery_care import GalleryCare
from controller.services.housekeeping import Housekeeping, HousekeepingParts
from controller.services.interview import InterviewService
from controller.services.investigate import Investigation, InvestigationParts, Limits
from controller.services.keys import KeyService
from controller.services.match import Matcher
from controller.services.match_together import SharedMatcher
from controller.services.ports import Clock, Publisher


class _Outlet:
    """A publisher that exists before the broker's connection, which needs the ingest first."""

    def __init__(self) -> None:
        self.broker: Publisher | None = None

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Hand a message to the broker; before there is one it is dropped (all are repeated)."""
        if self.broker is not None:
            self.broker.publish(topic, payload, retain=retain)


def open_stores(config: Config, clock: Clock) -> Stores:
    """Open records, gallery and evidence; raises `ControllerError` naming the setting."""
    database = Database(config.records_dsn)
    seen = SeenAgents(database)
    return Stores(
        database=database,
        gallery=Gallery.open(
            config.gallery_dsn,
            config.search_dir,
            cluster=config.gallery.cluster,
            now_us=clock.now_us,
        ),
        seen=seen,
        fleet=FreshFleet(database, seen),
        cases=SqlCases(database),
        queries=SqlQueries(database),
        evidence=SqlEvidence(database),
        replies=SqlReplies(database),
        audit=SqlAudit(database),
        quarantine=SqlQuarantine(database),
        files=EvidenceFolder(config.data_dir / "evidence"),
        clock=clock,
    )


def build_controller(
    config: Config,
    *,
    clock: Clock | None = None,
    enroller: Enroller | None = None,
    publisher: Publisher | None = None,
    accounts: AccountService | None = None,
) -> Controller:
    """Put a controller together; what is passed in replaces the default."""
    one_thread_each()
    wiring = _Wiring(config, clock or SystemClock(), publisher)
    return wiring.controller(
        enroller or ProcessEnroller(config.enroller.command, config.enroller.timeout_s), accounts
    )


class _Wiring:
    """The steps of putting a controller together."""

    def __init__(self, config: Config, clock: Clock, publisher: Publisher | None) -> None:
        self.config, self.clock, self.now_us = config, clock, clock.now_us
        self.sealer, self.signing = open_vault(config.keys_dir), read_signing_key(config.keys_dir)
        self.stores = open_stores(config, clock)
        self.outlet = _Outlet()
        self.outlet.broker = publisher

    def controller(self, enroller: Enroller, accounts: AccountService | None) -> Controller:
        stores = self.stores
        cases = self._cases(enroller)
        keys = KeyService(SqlEpochKeys(stores.database), self.sealer, cases, self.now_us)
        housekeeping = self._housekeeping(keys, cases)
        fleet = FleetService(stores.fleet, stores.audit, self.now_us, housekeeping.deliver)
        evidence, asking = self._evidence(cases), self._asking(cases)
        side = build_ingest(self.config, stores, self.outlet, self.signing, asking.notify)
        broker = None
        if self.outlet.broker is None:
            broker = build_broker(self.config, side.ingest, housekeeping.deliver_all)
            self.outlet.broker = broker
        matcher = Matcher(stores.gallery, keys)
        interview = InterviewService(cases, fleet)
        tracing = CaseTracing(cases, fleet, interview, stores.queries, _route(self.config))
        investigation = Investigation(
            InvestigationParts(
                cases=cases,
                fleet=fleet,
                matcher=SharedMatcher(matcher, asking.stopped),
                keys=keys,
                asking=asking,
                evidence=evidence,
                queries=stores.queries,
                tracing=tracing,
                calibration=load_calibration,
                now_us=self.now_us,
            ),
            _limits(self.config),
        )
        investigator = BackgroundInvestigator(cases, investigation.run)
        accounts = accounts or AccountService(
            SqlAccounts(stores.database), stores.audit, self.now_us
        )
        backup = build_backup(self.config, stores)
        side.meter.expose(lambda: figures(stores, side, broker))
        parts = ApiParts(
            accounts=accounts,
            cases=cases,
            evidence=evidence,
            fleet=fleet,
            audit=stores.audit,
            investigator=investigator,
            explanations=Explanations(cases, keys, matcher, stores.gallery, investigation.request),
            stats=lambda: stats(stores, side, broker),
            metrics=side.meter.text,
            quarantine=side.quarantine,
            gallery=GalleryCare(
                stores.gallery,
                keys,
                stores.audit,
                self.now_us,
                self.config.retention.sightings_days,
            ),
            backup=backup,
            interview=interview,
            tracing=tracing,
            prepare=investigation.prepare,
            refresh=investigation.refresh,
        )
        return Controller(
            config=self.config,
            stores=stores,
            accounts=accounts,
            fleet=fleet,
            keys=keys,
            cases=cases,
            evidence=evidence,
            asking=asking,
            ingest=side.ingest,
            workers=side.workers,
            sessions=side.sessions,
            housekeeping=housekeeping,
            investigator=investigator,
            backup=backup,
            broker=broker,
            app=create_app(parts),
        )

    def _cases(self, enroller: Enroller) -> CaseService:
        return CaseService(
            CaseParts(
                cases=self.stores.cases,
                fleet=self.stores.fleet,
                audit=self.stores.audit,
                sealer=self.sealer,
                enroller=enroller,
                evidence_files=self.stores.files,
                now_us=self.now_us,
                retention_days=self.config.retention.sightings_days,
            )
        )

    def _housekeeping(self, keys: KeyService, cases: CaseService) -> Housekeeping:
        return Housekeeping(
            HousekeepingParts(
                keys=keys,
                cases=cases,
                fleet=self.stores.fleet,
                gallery=self.stores.gallery,
                publisher=self.outlet,
                signing=self.signing,
                now_us=self.now_us,
                flush=self.stores.seen.flush,
                retention_days=self.config.retention.sightings_days,
            )
        )

    def _evidence(self, cases: CaseService) -> EvidenceService:
        return EvidenceService(
            EvidenceParts(
                records=self.stores.evidence,
                files=self.stores.files,
                queries=self.stores.queries,
                cases=cases,
                sealer=self.sealer,
                base_url=self.config.api.base_url,
                now_us=self.now_us,
            )
        )

    def _asking(self, cases: CaseService) -> AskingService:
        return AskingService(
            AskingParts(
                cases=cases,
                queries=self.stores.queries,
                replies=self.stores.replies,
                publisher=self.outlet,
                signing=self.signing,
                now_us=self.now_us,
                query_ttl_s=self.config.budget.query_ttl_s,
            )
        )


def _route(config: Config) -> RouteSettings:
    budget = config.budget
    return RouteSettings(
        max_gap_agents=budget.max_gap_agents, max_agents=budget.max_agents_per_case
    )


def _limits(config: Config) -> Limits:
    budget = config.budget
    return Limits(
        false_candidates_per_day=budget.false_candidates_per_day,
        reply_timeout_s=budget.reply_timeout_s,
        max_pictures=budget.max_pictures_per_query,
    )
