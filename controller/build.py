"""Puts the controller together: the one place where concrete classes are chosen."""

from dataclasses import asdict
from typing import Final

from controller.adapters.broker import Broker, tls_context
from controller.adapters.calibrations import load_calibration
from controller.adapters.clock import SystemClock
from controller.adapters.enroller import ProcessEnroller
from controller.adapters.evidence_files import EvidenceFolder
from controller.adapters.gallery import Gallery
from controller.adapters.records.cases import SqlCases, SqlEvidence, SqlQueries
from controller.adapters.records.engine import Database
from controller.adapters.records.fleet import SqlEpochKeys
from controller.adapters.records.ingest import (
    SqlCursors,
    SqlDirectory,
    SqlQuarantine,
    SqlReplies,
)
from controller.adapters.records.people import SqlAccounts, SqlAudit
from controller.adapters.records.seen import FreshFleet, SeenAgents
from controller.adapters.vault import open_vault, read_signing_key
from controller.api.app import ApiParts, create_app
from controller.config import BrokerSection, Config, ConfigInvalid
from controller.process import Controller, Stores
from controller.services.accounts import AccountService
from controller.services.asking import AskingParts, AskingService
from controller.services.background import BackgroundInvestigator
from controller.services.cases import CaseParts, CaseService
from controller.services.enrolment import Enroller
from controller.services.evidence import EvidenceParts, EvidenceService
from controller.services.fleet import FleetService
from controller.services.housekeeping import Housekeeping, HousekeepingParts
from controller.services.ingest import Ingest
from controller.services.investigate import Investigation, InvestigationParts, Limits
from controller.services.keys import KeyService
from controller.services.ports import Clock, Publisher
from wire.topics import every_agent

_SUBSCRIPTIONS: Final = (
    every_agent("sightings", share_group="sightline-ingest"),
    every_agent("state"),
    every_agent("health"),
    every_agent("replies"),
)


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
        ingest = self._ingest(asking)
        broker = None
        if self.outlet.broker is None:
            broker = _broker(self.config.broker, ingest, housekeeping)
            self.outlet.broker = broker
        investigation = Investigation(
            InvestigationParts(
                cases=cases,
                fleet=fleet,
                gallery=stores.gallery,
                keys=keys,
                asking=asking,
                evidence=evidence,
                queries=stores.queries,
                calibration=load_calibration,
                now_us=self.now_us,
            ),
            _limits(self.config),
        )
        investigator = BackgroundInvestigator(cases, investigation.run)
        accounts = accounts or AccountService(
            SqlAccounts(stores.database), stores.audit, self.now_us
        )
        parts = ApiParts(
            accounts=accounts,
            cases=cases,
            evidence=evidence,
            fleet=fleet,
            audit=stores.audit,
            investigator=investigator,
            stats=lambda: _stats(stores, ingest, broker),
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
            ingest=ingest,
            housekeeping=housekeeping,
            investigator=investigator,
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

    def _ingest(self, asking: AskingService) -> Ingest:
        return Ingest(
            directory=SqlDirectory(self.stores.fleet),
            gallery=self.stores.gallery,
            cursors=SqlCursors(self.stores.database),
            quarantine=self.stores.quarantine,
            replies=self.stores.replies,
            fleet=self.stores.seen,
            publisher=self.outlet,
            signing=self.signing,
            clock=self.clock,
            retention_days=self.config.retention.sightings_days,
            on_reply=asking.notify,
        )


def _limits(config: Config) -> Limits:
    budget = config.budget
    return Limits(
        max_gap_agents=budget.max_gap_agents,
        max_agents=budget.max_agents_per_case,
        false_candidates_per_day=budget.false_candidates_per_day,
        reply_timeout_s=budget.reply_timeout_s,
        max_pictures=budget.max_pictures_per_query,
    )


def _broker(section: BrokerSection, ingest: Ingest, housekeeping: Housekeeping) -> Broker:
    tls = None
    if section.tls:
        tls = tls_context(section.ca_file, section.cert_file, section.key_file)
    return Broker(
        host=section.host,
        port=section.port,
        client_id=section.client_id,
        tls=tls,
        username=section.username,
        password=_password(section),
        subscriptions=_SUBSCRIPTIONS,
        on_delivery=ingest.deliver,
        on_connected=housekeeping.deliver_all,
    )


def _password(section: BrokerSection) -> str | None:
    if section.password_file is None:
        return None
    try:
        return section.password_file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigInvalid(
            f"broker.password_file: cannot read {section.password_file} ({error.strerror}); "
            "mend its path or mode"
        ) from None


def _stats(stores: Stores, ingest: Ingest, broker: Broker | None) -> dict[str, int | float]:
    figures: dict[str, int | float] = {
        f"ingest_{name}": value for name, value in asdict(ingest.counters).items()
    }
    return figures | {
        "gallery_sightings": stores.gallery.count(),
        "agents_registered": len(stores.fleet.agents()),
        "agents_online": stores.seen.online(),
        "quarantined_total": stores.quarantine.count(),
        "cases_live": len(stores.cases.cases()),
        "broker_connected": int(broker is not None and broker.connected),
    }
