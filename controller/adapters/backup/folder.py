"""The folder of backups: files that backups share, manifests, and what may go.

Everything is written beside its place and renamed once it is on the disk, so that a file that has
its name is whole. Files that no manifest names go with the next backup.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from controller.adapters.backup.manifest import (
    BackupError,
    File,
    Manifest,
    file_from,
    from_json,
    to_json,
)

ABOUT: Final = "backup.json"
MANIFESTS: Final = "manifests"
JOURNAL: Final = "unfinished.jsonl"
"""Gallery files of a backup that did not end; the next one goes on from them."""
_PART: Final = ".part"
_CONTENTS: Final = ("gallery", "keys", "records", "evidence", "identity")


@dataclass(frozen=True, slots=True)
class About:
    """Whose backups these are: the records' lineage, and to whom keys are sealed (raw, hex)."""

    lineage: int
    recipient: str
    salt: str


class BackupFolder:
    """One folder with the backups of one controller."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def about(self) -> About | None:
        """Return whose backups these are; None for a new or empty folder."""
        if not self.root.exists() or not any(self.root.iterdir()):
            return None
        try:
            return About(**json.loads((self.root / ABOUT).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            raise BackupError(
                f"DIR: {self.root} is neither empty nor a folder of backups; give another one"
            ) from None

    def begin(self, about: About) -> None:
        """Say whose backups these will be."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.write_text(ABOUT, json.dumps(asdict(about)))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep others from making a backup here meanwhile; raises `BackupError` if one does."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self.root, os.O_RDONLY)
        except OSError as error:
            raise BackupError(f"DIR: cannot use {self.root} ({error.strerror})") from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise BackupError(f"DIR: another backup into {self.root} is running; wait") from None
        finally:
            os.close(handle)

    def manifests(self) -> list[Manifest]:
        """Return all finished backups, oldest first."""
        paths = sorted((self.root / MANIFESTS).glob("*.json"))
        found = [from_json(path.read_text(encoding="utf-8"), path.name) for path in paths]
        return sorted(found, key=lambda one: one.created_us)

    def write_manifest(self, manifest: Manifest) -> None:
        """Finish a backup, or replace its manifest."""
        self.write_text(f"{MANIFESTS}/{manifest.name}.json", to_json(manifest))

    def drop_manifest(self, manifest: Manifest) -> None:
        """Forget a backup; its files go with the next sweep."""
        (self.root / MANIFESTS / f"{manifest.name}.json").unlink(missing_ok=True)

    def write(self, path: str, write: Callable[[Path], None]) -> tuple[str, int]:
        """Let `write` fill a new file and put it in its place; return its hash and size."""
        target = self.root / path
        part = target.with_name(target.name + _PART)
        try:
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            part.unlink(missing_ok=True)
            write(part)
            digest, size = _settle(part)
            part.replace(target)
            _sync(target.parent)
        except OSError as error:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise BackupError(
                f"DIR: cannot write {target} ({error.strerror or error}); "
                "mend the path or make room"
            ) from None
        return digest, size

    def write_bytes(self, path: str, content: bytes) -> tuple[str, int]:
        """Write a small file; return its hash and size."""
        return self.write(path, lambda part: _fill(part, content))

    def write_text(self, path: str, text: str) -> None:
        """Write a text file."""
        self.write_bytes(path, text.encode())

    def unfinished(self) -> list[File]:
        """Return the gallery files of a backup that did not end."""
        found = []
        try:
            lines = (self.root / JOURNAL).read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        for line in lines:
            try:
                file = file_from(json.loads(line))
            except (ValueError, TypeError):
                break  # the last line of a crash
            if (self.root / file.path).exists():
                found.append(file)
        return found

    def note(self, file: File) -> None:
        """Remember a finished gallery file until the manifest is there."""
        with (self.root / JOURNAL).open("a", encoding="utf-8") as journal:
            journal.write(json.dumps(asdict(file)) + "\n")
            journal.flush()
            os.fsync(journal.fileno())

    def sweep(self) -> int:
        """Erase every file that no backup names; return how many."""
        named = {file.path for manifest in self.manifests() for file in manifest.files}
        (self.root / JOURNAL).unlink(missing_ok=True)
        gone = 0
        for path in self._contents():
            if path.relative_to(self.root).as_posix() not in named:
                path.unlink()
                gone += 1
                if path.parent.parent != self.root and not any(path.parent.iterdir()):
                    path.parent.rmdir()
        return gone

    def faults(
        self, files: Iterable[File], tell: Callable[[int], None] = lambda _size: None
    ) -> list[str]:
        """Read every file again; return one line for each that is missing or altered."""
        found = []
        for file in files:
            path = self.root / file.path
            if not path.is_file():
                found.append(f"{file.path}: is missing")
            elif path.stat().st_size != file.size or _digest(path) != file.sha256:
                found.append(f"{file.path}: is not what was written")
            tell(file.size)
        return found

    def _contents(self) -> list[Path]:
        found = [self.root.joinpath(top).rglob("*") for top in _CONTENTS]
        return [path for paths in found for path in paths if path.is_file()]


def _fill(path: Path, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)


def _settle(path: Path) -> tuple[str, int]:
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
