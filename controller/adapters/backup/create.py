"""Making a backup: records first, then the gallery, the manifest last.

Records first, because of the cursors in them: what a cursor says is durable was in the gallery
before the cursor moved, so it is in a copy of the gallery that begins later. Keys are read with the
records, and those that were destroyed meanwhile are left out at the end.
"""

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from uuid import UUID

from clickhouse_connect.driver.exceptions import ClickHouseError

from controller.adapters.backup.folder import About, BackupFolder
from controller.adapters.backup.manifest import (
    CASE_KEY,
    EPOCH_KEY,
    EVIDENCE,
    GALLERY,
    IDENTITY,
    RECORDS,
    BackupError,
    BackupStopped,
    File,
    Manifest,
)
from controller.adapters.backup.records import (
    Snapshot,
    key_tag,
    lineage,
    live_keys,
    snapshot,
)
from controller.adapters.backup.rows import RowsCopier, Shard
from controller.adapters.backup.sealing import Seals
from controller.adapters.gallery.schema import SCHEMA_VERSION as GALLERY_SCHEMA
from controller.adapters.gallery.store import SightingStore
from controller.adapters.records.engine import Database
from controller.adapters.records.schema import SCHEMA_VERSION as RECORDS_SCHEMA
from controller.config import Config
from controller.services.cases import case_key_label
from controller.services.keys import epoch_key_label
from controller.services.stores import Sealer

KEEP: Final = 7
_PAUSE_S: Final = 0.01
"""Between two pages: whoever waits for ClickHouse's lock gets it then."""


@dataclass(frozen=True, slots=True)
class Source:
    """What is backed up; `settled_us` as `Gallery.settled_us`."""

    config: Config
    database: Database
    store: SightingStore
    settled_us: Callable[[], int]
    sealer: Sealer
    signing_raw: bytes
    now_us: Callable[[], int]


@dataclass(frozen=True, slots=True)
class Watch:
    """How a backup tells where it is (step, done, of how many), and hears that it must stop."""

    tell: Callable[[str, int, int], None] = lambda _step, _done, _total: None
    stopped: Callable[[], bool] = lambda: False


@dataclass(slots=True)
class BackupMaker:
    """Makes one backup into a folder, sealed to a recipient (32 raw bytes as hex).

    `salt` turns the passphrase into the recipient's key again; a folder keeps its first one.
    """

    source: Source
    folder: BackupFolder
    recipient: str
    salt: str = ""
    keep: int = KEEP
    watch: Watch = field(default_factory=Watch)
    _new_bytes: int = 0

    def create(self) -> Manifest:
        """Make it; raises `BackupError`, or `BackupStopped` if it was told to stop."""
        data_dir = self.source.config.data_dir
        if data_dir in (self.folder.root.absolute(), *self.folder.root.absolute().parents):
            raise BackupError("DIR: lies in the data directory; give a folder on another disk")
        with self.folder.locked():
            seals = self._seals()
            earlier = self.folder.manifests()
            known = _by_path(file for one in earlier for file in one.files)
            self.watch.tell("records", 0, 1)
            snap = snapshot(self.source.database)
            files = [self._identity(seals), self._records(seals, snap)]
            files += self._keys(seals, snap, known) + self._evidence(snap, known)
            try:
                files += self._gallery(snap, known)
            except ClickHouseError as error:
                first = (str(error).splitlines() or [""])[0][:200]
                raise BackupError(f"gallery: cannot be read ({first}); try again") from None
            return self._finish(files, earlier)

    def _seals(self) -> Seals:
        mine, about = lineage(self.source.database), self.folder.about()
        if about is None:
            if not self.salt:
                raise BackupError("recipient: a new folder needs the passphrase, not a recipient")
            self.folder.begin(About(mine, self.recipient, self.salt))
        elif about.lineage != mine:
            raise BackupError(
                "DIR: holds backups of other records (or of these before a restore); "
                "give a new folder"
            )
        elif about.recipient != self.recipient:
            raise BackupError(
                f"recipient: this folder's is {about.recipient}; give that one, its passphrase, "
                "or a new folder"
            )
        return Seals(bytes.fromhex(self.recipient), mine)

    def _identity(self, seals: Seals) -> File:
        content = {
            "config": self.source.config.model_dump(mode="json", exclude_defaults=True),
            "signing": self.source.signing_raw.hex(),
        }
        path = f"identity/{self.source.now_us()}.sealed"
        return self._sealed(seals, path, IDENTITY, json.dumps(content).encode())

    def _records(self, seals: Seals, snap: Snapshot) -> File:
        path = f"records/{self.source.now_us()}.sealed"
        return self._sealed(seals, path, RECORDS, snap.rows)

    def _keys(self, seals: Seals, snap: Snapshot, known: dict[str, File]) -> list[File]:
        files, unwrap = [], self.source.sealer.unwrap
        for epoch, wrapped in sorted(snap.epoch_keys.items()):
            tag = key_tag(wrapped)
            path = f"keys/epoch-{epoch}-{tag}.sealed"
            if path not in known:
                key = unwrap(wrapped, label=epoch_key_label(epoch))
                made = self._sealed(seals, path, EPOCH_KEY, key)
                known[path] = replace(made, epoch=epoch, tag=tag)
            files.append(known[path])
        for case_id, wrapped in snap.case_keys.items():
            path = f"keys/case-{case_id.hex}.sealed"
            if path not in known:
                key = unwrap(wrapped, label=case_key_label(case_id))
                known[path] = replace(self._sealed(seals, path, CASE_KEY, key), case=case_id.hex)
            files.append(known[path])
        return files

    def _evidence(self, snap: Snapshot, known: dict[str, File]) -> list[File]:
        """Copy the pictures, which are sealed under their case's key already."""
        files, root = [], self.source.config.data_dir / "evidence"
        for case_id in snap.case_keys:
            for picture in sorted((root / case_id.hex).glob("*.bin")):
                path = f"evidence/{case_id.hex}/{picture.name}"
                if path not in known:
                    content = _read_unless_gone(picture)
                    if content is None:
                        continue
                    digest, size = self._written(path, content)
                    known[path] = File(path, EVIDENCE, digest, size, case=case_id.hex)
                files.append(known[path])
        return files

    def _gallery(self, snap: Snapshot, known: dict[str, File]) -> list[File]:
        shards: dict[Shard, list[File]] = {}
        for file in _by_path([*known.values(), *self.folder.unfinished()]).values():
            if file.kind == GALLERY and file.epoch is not None and file.shard is not None:
                shards.setdefault((file.epoch, file.shard), []).append(file)
        copier = RowsCopier(
            self.source.store, self.folder, self.watch.stopped, lambda: time.sleep(_PAUSE_S)
        )
        # After the snapshot of the records: see the head of this file.
        settled_us, files = self.source.settled_us(), []
        for done, (epoch, wrapped) in enumerate(sorted(snap.epoch_keys.items())):
            self.watch.tell("gallery", done, len(snap.epoch_keys))
            if self.watch.stopped():
                raise BackupStopped("backup: stopped; run it again to go on from here")
            files += copier.copy(epoch, key_tag(wrapped), settled_us, shards)
        self._new_bytes += sum(file.size for file in files if file.path not in known)
        return files

    def _finish(self, files: list[File], earlier: list[Manifest]) -> Manifest:
        epochs, cases = live_keys(self.source.database)
        if not epochs:
            # Never let records that lost their keys erase those of the folder.
            raise BackupError("records: hold no key of any day; has this controller ever run?")
        manifest = Manifest(
            self.source.now_us(), RECORDS_SCHEMA, GALLERY_SCHEMA,
            self.source.config.retention.sightings_days, _alive(files, epochs, cases),
            self._new_bytes,
        )  # fmt: skip
        self.folder.write_manifest(manifest)
        self._expire(earlier, epochs, cases)
        self.watch.tell("done", 1, 1)
        return manifest

    def _expire(
        self, earlier: list[Manifest], epochs: dict[int, str], cases: frozenset[UUID]
    ) -> None:
        """Erase, from all backups here, what ended: days, cases, and backups beyond `keep`."""
        beyond = max(0, len(earlier) + 1 - self.keep)
        for old in earlier[:beyond]:
            self.folder.drop_manifest(old)
        for old in earlier[beyond:]:
            left = _alive(old.files, epochs, cases)
            if len(left) != len(old.files):
                self.folder.write_manifest(replace(old, files=left))
        self.folder.sweep()

    def _sealed(self, seals: Seals, path: str, kind: str, content: bytes) -> File:
        digest, size = self._written(path, seals.seal(content, path))
        return File(path, kind, digest, size)

    def _written(self, path: str, content: bytes) -> tuple[str, int]:
        digest, size = self.folder.write_bytes(path, content)
        self._new_bytes += size
        return digest, size


def _by_path(files: Iterable[File]) -> dict[str, File]:
    return {file.path: file for file in files}


def _alive(
    files: Iterable[File], epochs: dict[int, str], cases: frozenset[UUID]
) -> tuple[File, ...]:
    """Leave out days whose key was destroyed, and ended cases."""
    hexes = {case.hex for case in cases}
    return tuple(
        file
        for file in files
        if (file.epoch is None or epochs.get(file.epoch) == file.tag)
        and (file.case is None or file.case in hexes)
    )


def _read_unless_gone(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
