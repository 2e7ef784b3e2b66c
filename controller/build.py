"""Puts the controller together: the one place where concrete classes are chosen."""

import logging
import signal
import threading
from dataclasses import asdict, dataclass
from typing import Final

import uvicorn
from fastapi import FastAPI

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

_LOG: Final = logging.getLogger(__name__)
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


@dataclass(frozen=True)
class Stores:
    """Everything durable, and the clock."""

    database: Database
    gallery: Gallery
    seen: SeenAgents
    fleet: FreshFleet
    cases: SqlCases
    queries: SqlQueries
    evidence: SqlEvidence
    replies: SqlReplies
    audit: SqlAudit
    quarantine: SqlQuarantine
    files: EvidenceFolder
    clock: Clock


@dataclass(frozen=True)
class Controller:
    """A whole controller, not started yet; tests may leave `broker` out and publish elsewhere."""

    config: Config
    stores: Stores
    accounts: AccountService
    fleet: FleetService
    keys: KeyService
    cases: CaseService
    evidence: EvidenceService
    asking: AskingService
    ingest: Ingest
    housekeeping: Housekeeping
    investigator: BackgroundInvestigator
    broker: Broker | None
    app: FastAPI

    def start(self) -> None:
        """Start ingest, housekeeping and the broker's connection."""
        reset = self.cases.reset_interrupted()
        _LOG.info("event=controller_started interrupted_cases=%d", reset)
        self.ingest.start()
        self.housekeeping.start()
        if self.broker is not None:
            self.broker.connect()

    def stop(self) -> None:
        """Stop in the order in which nothing is lost."""
        self.investigator.stop()
        self.ingest.stop()
        if self.broker is not None:
            self.broker.stop()
        self.housekeeping.stop()
        self.stores.gallery.close()
        self.stores.database.close()

    def serve(self) -> None:
        """Serve the API until SIGTERM or SIGINT; raises the broker's fatal error if it has one."""
        api = self.config.api
        server = uvicorn.Server(
            uvicorn.Config(
                self.app,
                host=api.host,
                port=api.port,
                ssl_certfile=None if api.tls_cert_file is None else str(api.tls_cert_file),
                ssl_keyfile=None if api.tls_key_file is None else str(api.tls_key_file),
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=5,
            )
        )
        # uvicorn raises the signal again once it has stopped; without these we would die of it
        # before ingest has stopped in good order.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        watch = threading.Thread(target=self._watch_broker, args=(server,), daemon=True)
        watch.start()
        server.run()
        if self.broker is not None and self.broker.fatal is not None:
            raise self.broker.fatal

    def _watch_broker(self, server: uvicorn.Server) -> None:
        pause = threading.Event()
        while not server.should_exit:
            if self.broker is not None and self.broker.fatal is not None:
                server.should_exit = True
            pause.wait(0.5)


def open_stores(config: Config, clock: Clock) -> Stores:
    """Open records, gallery and evidence; raises `ControllerError` naming the setting."""
    database = Database(config.records_dsn)
    seen = SeenAgents(database)
    return Stores(
        database=database,
        gallery=Gallery.open(config.gallery_dsn),
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
    clock = clock or SystemClock()
    sealer, signing = open_vault(config.keys_dir), read_signing_key(config.keys_dir)
    stores = open_stores(config, clock)
    outlet = _Outlet()
    outlet.broker = publisher
    cases = CaseService(
        CaseParts(
            cases=stores.cases,
            fleet=stores.fleet,
            audit=stores.audit,
            sealer=sealer,
            enroller=enroller
            or ProcessEnroller(config.enroller.command, config.enroller.timeout_s),
            evidence_files=stores.files,
            now_us=clock.now_us,
            retention_days=config.retention.sightings_days,
        )
    )
    keys = KeyService(SqlEpochKeys(stores.database), sealer, cases, clock.now_us)
    housekeeping = Housekeeping(
        HousekeepingParts(
            keys=keys,
            cases=cases,
            fleet=stores.fleet,
            gallery=stores.gallery,
            publisher=outlet,
            signing=signing,
            now_us=clock.now_us,
            flush=stores.seen.flush,
            retention_days=config.retention.sightings_days,
        )
    )
    fleet = FleetService(stores.fleet, stores.audit, clock.now_us, housekeeping.deliver)
    evidence = EvidenceService(
        EvidenceParts(
            records=stores.evidence,
            files=stores.files,
            queries=stores.queries,
            cases=cases,
            sealer=sealer,
            base_url=config.api.base_url,
            now_us=clock.now_us,
        )
    )
    asking = AskingService(
        AskingParts(
            cases=cases,
            queries=stores.queries,
            replies=stores.replies,
            publisher=outlet,
            signing=signing,
            now_us=clock.now_us,
            query_ttl_s=config.budget.query_ttl_s,
        )
    )
    ingest = Ingest(
        directory=SqlDirectory(stores.fleet),
        gallery=stores.gallery,
        cursors=SqlCursors(stores.database),
        quarantine=stores.quarantine,
        replies=stores.replies,
        fleet=stores.seen,
        publisher=outlet,
        signing=signing,
        clock=clock,
        retention_days=config.retention.sightings_days,
        on_reply=asking.notify,
    )
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
            now_us=clock.now_us,
        ),
        _limits(config),
    )
    investigator = BackgroundInvestigator(cases, investigation.run)
    broker = None
    if publisher is None:
        broker = _broker(config.broker, ingest, housekeeping)
        outlet.broker = broker
    accounts = accounts or AccountService(SqlAccounts(stores.database), stores.audit, clock.now_us)
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
        config, stores, accounts, fleet, keys, cases, evidence, asking, ingest, housekeeping,
        investigator, broker, create_app(parts),
    )  # fmt: skip


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
