"""Restoring: every hash first, then into an empty folder; the configuration is written last."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from clickhouse_connect.driver.exceptions import ClickHouseError
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from sqlalchemy.exc import SQLAlchemyError

from controller.adapters.backup import rows
from controller.adapters.backup.folder import BackupFolder
from controller.adapters.backup.manifest import (
    CASE_KEY,
    EPOCH_KEY,
    EVIDENCE,
    GALLERY,
    IDENTITY,
    RECORDS,
    BackupError,
    File,
    Manifest,
)
from controller.adapters.backup.records import write_back
from controller.adapters.backup.sealing import Seals, private_key, public_hex
from controller.adapters.evidence_files import EvidenceFolder
from controller.adapters.gallery.schema import SCHEMA_VERSION as GALLERY_SCHEMA
from controller.adapters.gallery.store import SightingStore
from controller.adapters.records.engine import Database
from controller.adapters.records.schema import SCHEMA_VERSION as RECORDS_SCHEMA
from controller.adapters.vault import create_key_files, open_vault
from controller.config import FILE_NAME, Config, parse_config, to_toml
from controller.services.cases import case_key_label
from controller.services.keys import epoch_key_label
from wire.signing import public_bytes
from wire.times import epoch_of_us

_LOCAL: Final = ("chdb://", "sqlite://")
Tell = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Restored:
    """What came back, and how many days were refused because they are past retention."""

    made: str
    sightings: int
    epochs: int
    expired_epochs: int
    cases: int
    config: Path


@dataclass(frozen=True, slots=True)
class Restorer:
    """Restores one backup of a folder."""

    folder: BackupFolder
    passphrase: str
    now_us: Callable[[], int]
    tell: Tell = lambda _step, _done, _total: None

    def restore(self, data_dir: Path, at: str = "") -> Restored:
        """Fill a new data directory from the newest backup, or that of `at`.

        Raises `BackupError` before anything is written if a file is missing or altered. Until the
        configuration is there, which comes last, nothing can run on what is half restored.
        """
        try:
            return self._restore(data_dir, at)
        except (OSError, SQLAlchemyError, ClickHouseError) as error:
            first = (str(error).splitlines() or [type(error).__name__])[0][:200]
            raise BackupError(
                f"--data-dir: could not be filled ({first}); make room, erase it and begin again"
            ) from None

    def _restore(self, data_dir: Path, at: str) -> Restored:
        if data_dir.exists() and any(data_dir.iterdir()):
            raise BackupError(f"--data-dir: {data_dir} is not empty; give a new folder")
        manifest = chosen(self.folder, at)
        seals, key = self._opened()
        self._check(manifest)
        today = epoch_of_us(self.now_us())
        first = today - manifest.retention_days
        alive = [f for f in manifest.files if f.epoch is None or f.epoch >= first]
        identity = json.loads(self._content(manifest.of(IDENTITY)[0], seals, key))
        config = _config(identity["config"], data_dir)
        self._identity(config, bytes.fromhex(identity["signing"]))
        cases = self._records(config, alive, seals, key)
        sightings = self._gallery(config, [f for f in alive if f.kind == GALLERY])
        self._evidence(config, alive)
        path = config.data_dir / FILE_NAME
        path.write_text(to_toml(config), encoding="utf-8")
        refused = {f.epoch for f in manifest.files} - {f.epoch for f in alive}
        epochs = {f.epoch for f in alive if f.kind == EPOCH_KEY}
        return Restored(manifest.name, sightings, len(epochs), len(refused), cases, path)

    def _opened(self) -> tuple[Seals, X25519PrivateKey]:
        about = self.folder.about()
        if about is None:
            raise BackupError(f"DIR: {self.folder.root} holds no backup")
        key = private_key(self.passphrase, about.salt)
        if public_hex(key) != about.recipient:
            raise BackupError("passphrase: is not the one of this folder")
        return Seals(bytes.fromhex(about.recipient), about.lineage), key

    def _check(self, manifest: Manifest) -> None:
        if (manifest.records_schema, manifest.gallery_schema) != (RECORDS_SCHEMA, GALLERY_SCHEMA):
            raise BackupError(
                f"backup: was made of records {manifest.records_schema} and gallery "
                f"{manifest.gallery_schema}, this sightline has {RECORDS_SCHEMA} and "
                f"{GALLERY_SCHEMA}; restore with the sightline that made it, then update"
            )
        done, total = 0, manifest.size

        def count(size: int) -> None:
            nonlocal done
            done += size
            self.tell("checking", done, total)

        faults = self.folder.faults(manifest.files, count)
        if faults:
            raise BackupError(
                f"{faults[0]} ({len(faults)} files in all); nothing was restored; choose another "
                "backup with --at"
            )

    def _identity(self, config: Config, signing_raw: bytes) -> None:
        """Write the old signing key, which agents know, and a new master key."""
        signing = Ed25519PrivateKey.from_private_bytes(signing_raw)
        create_key_files(config.keys_dir, signing)
        public = base64.b64encode(public_bytes(signing.public_key())).decode()
        text = json.dumps({"signing_public_b64": public}) + "\n"
        (config.data_dir / "controller.pub.json").write_text(text, encoding="utf-8")

    def _records(
        self, config: Config, files: list[File], seals: Seals, key: X25519PrivateKey
    ) -> int:
        self.tell("records", 0, 1)
        vault = open_vault(config.keys_dir)
        epochs, cases = {}, {}
        for file in files:
            if file.kind == EPOCH_KEY and file.epoch is not None:
                plain = self._content(file, seals, key)
                epochs[file.epoch] = vault.wrap(plain, label=epoch_key_label(file.epoch))
            elif file.kind == CASE_KEY and file.case is not None:
                case_id = UUID(hex=file.case)
                plain = self._content(file, seals, key)
                cases[case_id] = vault.wrap(plain, label=case_key_label(case_id))
        packed = self._content(next(f for f in files if f.kind == RECORDS), seals, key)
        database = Database(config.records_dsn)
        try:
            write_back(database, packed, epochs, cases, self.now_us())
        finally:
            database.close()
        return len(cases)

    def _gallery(self, config: Config, files: list[File]) -> int:
        store = SightingStore.open(config.gallery_dsn, cluster=config.gallery.cluster)
        try:
            if store.last_stored_us() >= 0:
                raise BackupError("gallery.dsn: holds sightings already; give an empty gallery")
            done, total = 0, sum(file.size for file in files)

            def count(size: int) -> None:
                nonlocal done
                done += size
                self.tell("gallery", done, total)

            return rows.restore(store, self.folder.root, files, count)
        finally:
            store.close()

    def _evidence(self, config: Config, files: list[File]) -> None:
        pictures = EvidenceFolder(config.data_dir / "evidence")
        for file in files:
            if file.kind == EVIDENCE and file.case is not None:
                path = self.folder.root / file.path
                name = UUID(hex=path.stem)
                pictures.write(UUID(hex=file.case), name, path.read_bytes())

    def _content(self, file: File, seals: Seals, key: X25519PrivateKey) -> bytes:
        return seals.open((self.folder.root / file.path).read_bytes(), file.path, key)


def chosen(folder: BackupFolder, at: str) -> Manifest:
    """Return the newest backup, or the one whose name begins with `at`."""
    found = [one for one in folder.manifests() if one.name.startswith(at)]
    if not found:
        raise BackupError(f"--at: no backup of {folder.root} begins with {at!r}; see backup list")
    return found[-1]


def _config(raw: dict[str, Any], data_dir: Path) -> Config:
    """Return the configuration with what was on the lost machine's disk moved to the new folder."""
    raw["controller"]["data_dir"] = str(data_dir.absolute())
    gallery, records = raw.get("gallery", {}), raw.get("records", {})
    for section in (gallery, records):
        if str(section.get("dsn", "")).startswith(_LOCAL):
            del section["dsn"]
    gallery.pop("search_dir", None)
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return parse_config(raw, base=data_dir)
