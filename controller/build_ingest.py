"""Puts ingest together: checking, storing, workers, quarantine, metrics."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Final
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from controller.adapters.backup.records import restored_us
from controller.adapters.broker import TwoWayBroker, connection
from controller.adapters.calibrations import known_spaces
from controller.adapters.disk import DiskFloor, GuardedGallery, disk_floor
from controller.adapters.metrics import Figures, PrometheusMeter
from controller.adapters.records.ingest import SqlCursors, SqlDirectory, agents_registered
from controller.adapters.workers import WorkerPool
from controller.adapters.workers_sessions import Sessions
from controller.adapters.workers_settings import (
    SHARED_SIGHTINGS,
    worker_client_id,
    worker_settings,
)
from controller.config import Config
from controller.process import Stores
from controller.services.clock_offsets import ClockOffsets
from controller.services.ingest import Ingest, IngestParts
from controller.services.ingest_batches import Reason
from controller.services.ingest_checks import Checker
from controller.services.ingest_quarantine import QuarantineService
from controller.services.ports import Publisher
from wire.topics import every_agent

_OTHERS: Final = (every_agent("state"), every_agent("health"), every_agent("replies"))


@dataclass(frozen=True, slots=True)
class IngestSide:
    """Ingest with everything around it."""

    ingest: Ingest
    workers: WorkerPool
    sessions: Sessions
    quarantine: QuarantineService
    meter: PrometheusMeter
    offsets: ClockOffsets
    disk: DiskFloor


def build_ingest(
    config: Config, stores: Stores, publisher: Publisher, signing: Ed25519PrivateKey,
    on_reply: Callable[[UUID], None],
) -> IngestSide:  # fmt: skip
    """Return ingest as configured, not started."""
    disk = disk_floor(config)
    offsets, meter, spaces = ClockOffsets(), PrometheusMeter(), known_spaces()
    checker = Checker(
        SqlDirectory(stores.fleet), stores.clock, spaces=spaces,
        retention_days=config.retention.sightings_days,
    )  # fmt: skip
    ingest = Ingest(
        IngestParts(
            checker=checker,
            gallery=GuardedGallery(stores.gallery, disk),
            cursors=SqlCursors(stores.database),
            quarantine=stores.quarantine,
            replies=stores.replies,
            fleet=stores.seen,
            publisher=publisher,
            signing=signing,
            clock=stores.clock,
            offsets=offsets,
            meter=meter,
            on_reply=on_reply,
            restored_us=restored_us(stores.database),
        )
    )
    return IngestSide(
        ingest=ingest,
        workers=WorkerPool(worker_settings(config, spaces), ingest.deliver),
        sessions=_sessions(config),
        quarantine=QuarantineService(
            stores.quarantine, checker, ingest.deliver, stores.audit, stores.clock.now_us
        ),
        meter=meter,
        offsets=offsets,
        disk=disk,
    )


def build_broker(config: Config, ingest: Ingest, on_connected: Callable[[], None]) -> TwoWayBroker:
    """Return the owner's connections: without workers they take the sightings too."""
    alone = config.ingest.workers == 0
    sending = connection(
        config.broker,
        client_id=f"{config.broker.client_id}-out",
        subscriptions=(),
        on_delivery=lambda _delivery: None,
        on_connected=on_connected,
    )
    taking = connection(
        config.broker,
        client_id=config.broker.client_id,
        subscriptions=(SHARED_SIGHTINGS, *_OTHERS) if alone else _OTHERS,
        unwanted=() if alone else (SHARED_SIGHTINGS,),
        on_delivery=ingest.deliver,
    )
    return TwoWayBroker(taking, sending)


def stats(stores: Stores, side: IngestSide, broker: TwoWayBroker | None) -> dict[str, int | float]:
    """Return all figures by name; each costs a count at most."""
    counters = {f"ingest_{name}": value for name, value in asdict(side.ingest.counters).items()}
    drift, room = side.offsets.drift(), side.disk.tightest()
    figures: dict[str, int | float] = counters | {
        "ingest_queue_depth": side.ingest.queue_depth,
        "ingest_spools_ahead": side.ingest.spools_ahead,
        "ingest_workers": side.workers.size,
        "ingest_workers_alive": side.workers.alive,
        "ingest_worker_restarts_total": side.workers.restarts_total,
        "disk_free_bytes": room.free_bytes,
        "disk_floor_bytes": room.floor_bytes,
        "ingest_held_by_disk": int(room.low),
        "gallery_sightings": stores.gallery.count(),
        "agents_registered": agents_registered(stores.database),
        "agents_online": stores.seen.online(),
        "quarantined_total": stores.quarantine.count(),
        "cases_live": len(stores.cases.cases()),
        "broker_connected": int(broker is not None and broker.connected),
        "clocks_watched": drift.watched,
        "clocks_corrected": drift.corrected,
        "clocks_fastest_offset_seconds": drift.fastest_s,
        "clocks_slowest_offset_seconds": drift.slowest_s,
    }
    if side.ingest.last_insert_us is not None:
        age_us = stores.clock.now_us() - side.ingest.last_insert_us
        figures["ingest_last_insert_age_seconds"] = age_us / 1e6
    return figures


def figures(stores: Stores, side: IngestSide, broker: TwoWayBroker | None) -> Figures:
    """Return what a scrape reads."""
    refused = {reason.value: side.ingest.refused_by_reason[reason] for reason in Reason}
    return Figures(stats(stores, side, broker), refused, stores.quarantine.kept())


def _sessions(config: Config) -> Sessions:
    return Sessions(
        config.data_dir / "ingest-sessions",
        config.broker,
        lambda number: worker_client_id(config, number),
        config.ingest.workers,
    )
