"""A controller as one process: its parts, started and stopped in the order that loses nothing."""

import logging
import signal
import threading
from dataclasses import dataclass
from typing import Final

import uvicorn
from fastapi import FastAPI

from controller.adapters.broker import TwoWayBroker
from controller.adapters.evidence_files import EvidenceFolder
from controller.adapters.gallery import Gallery
from controller.adapters.records.cases import SqlCases, SqlEvidence, SqlQueries
from controller.adapters.records.engine import Database
from controller.adapters.records.ingest import SqlReplies
from controller.adapters.records.people import SqlAudit
from controller.adapters.records.quarantine import SqlQuarantine
from controller.adapters.records.seen import FreshFleet, SeenAgents
from controller.adapters.workers import WorkerPool
from controller.adapters.workers_sessions import Sessions
from controller.config import Config
from controller.services.accounts import AccountService
from controller.services.asking import AskingService
from controller.services.background import BackgroundInvestigator
from controller.services.backup import BackupService
from controller.services.cases import CaseService
from controller.services.evidence import EvidenceService
from controller.services.fleet import FleetService
from controller.services.housekeeping import Housekeeping
from controller.services.ingest import Ingest
from controller.services.keys import KeyService
from controller.services.ports import Clock

_LOG: Final = logging.getLogger(__name__)


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
    workers: WorkerPool
    sessions: Sessions
    housekeeping: Housekeeping
    investigator: BackgroundInvestigator
    backup: BackupService
    broker: TwoWayBroker | None
    app: FastAPI

    def start(self) -> None:
        """Start ingest, housekeeping and the broker's connection."""
        reset = self.cases.reset_interrupted()
        _LOG.info("event=controller_started interrupted_cases=%d", reset)
        self.ingest.start()
        self.housekeeping.start()
        if self.broker is not None:
            self.broker.connect()
            self.sessions.start()
            self.workers.start()

    def stop(self) -> None:
        """Stop in the order in which nothing is lost."""
        self.asking.stop()
        self.investigator.stop()
        self.backup.stop()
        self.sessions.stop()
        self.workers.stop()
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
