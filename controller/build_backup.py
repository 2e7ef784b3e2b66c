"""Puts backups together, for a controller that runs and for one that does not."""

from collections.abc import Callable
from pathlib import Path

from controller.adapters.backup.create import BackupMaker, Source, Watch
from controller.adapters.backup.folder import BackupFolder
from controller.adapters.backup.manifest import Manifest
from controller.adapters.clock import SystemClock
from controller.adapters.gallery.store import SightingStore
from controller.adapters.records.engine import Database
from controller.adapters.vault import open_vault, read_signing_key
from controller.config import Config
from controller.process import Stores
from controller.services.backup import BackupOrder, BackupService, Tell


def build_backup(config: Config, stores: Stores) -> BackupService:
    """Return the backups of a running controller."""

    def make(order: BackupOrder, tell: Tell, stopped: Callable[[], bool]) -> Manifest:
        source = _source(config, stores.database, stores.gallery.table,
                         stores.gallery.settled_us, stores.clock.now_us)  # fmt: skip
        folder = BackupFolder(Path(order.directory))
        watch = Watch(tell, stopped)
        return BackupMaker(source, folder, order.recipient, order.salt, order.keep, watch).create()

    return BackupService(make, stores.audit, stores.clock.now_us)


def backup_of_stopped(
    config: Config, folder: BackupFolder, recipient: str, salt: str, keep: int, watch: Watch
) -> Manifest:
    """Make a backup of a controller that does not run; raises `ControllerError` if it does."""
    store = SightingStore.open(config.gallery_dsn, cluster=config.gallery.cluster)
    database = Database(config.records_dsn)
    try:
        now_us = SystemClock().now_us
        source = _source(config, database, store, store.last_stored_us, now_us)
        return BackupMaker(source, folder, recipient, salt, keep, watch).create()
    finally:
        database.close()
        store.close()


def _source(
    config: Config, database: Database, store: SightingStore, settled_us: Callable[[], int],
    now_us: Callable[[], int],
) -> Source:  # fmt: skip
    return Source(
        config=config,
        database=database,
        store=store,
        settled_us=settled_us,
        sealer=open_vault(config.keys_dir),
        signing_raw=read_signing_key(config.keys_dir).private_bytes_raw(),
        now_us=now_us,
    )
