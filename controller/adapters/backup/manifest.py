"""What a backup says of itself: a manifest, written last, that names every file with its hash."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any, Final

from controller.errors import ControllerError

FORMAT: Final = 1
GALLERY: Final = "gallery"
EPOCH_KEY: Final = "epoch_key"
CASE_KEY: Final = "case_key"
EVIDENCE: Final = "evidence"
RECORDS: Final = "records"
IDENTITY: Final = "identity"


class BackupError(ControllerError):
    """A backup cannot be made, read or restored; the message names what and the mend."""


class BackupStopped(BackupError):
    """Somebody stopped it; what was copied is used by the next one."""


@dataclass(frozen=True, slots=True)
class File:
    """One file of a backup, by its path in the folder.

    Of gallery files: `epoch`, `shard`, and the newest `stored_us` (`until_us`) that all files of
    this shard up to this one cover. `tag` tells an epoch's key from another that was made for it
    after the first was destroyed. Of keys and pictures: `epoch` or `case`, with which they die.
    """

    path: str
    kind: str
    sha256: str
    size: int
    epoch: int | None = None
    shard: int | None = None
    until_us: int = -1
    rows: int = 0
    case: str | None = None
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """One backup: when it was made, of which records, and all its files."""

    created_us: int
    records_schema: int
    gallery_schema: int
    retention_days: int
    files: tuple[File, ...]
    new_bytes: int = 0

    @property
    def name(self) -> str:
        """The time at which it was made, as people give it to `--at`."""
        moment = datetime.fromtimestamp(self.created_us / 1e6, UTC)
        return moment.strftime("%Y-%m-%dT%H-%M-%S.%fZ")

    def of(self, kind: str) -> list[File]:
        """Return the files of one kind."""
        return [file for file in self.files if file.kind == kind]

    @property
    def size(self) -> int:
        """Bytes of all its files, those shared with other backups included."""
        return sum(file.size for file in self.files)


def to_json(manifest: Manifest) -> str:
    """Return a manifest as it is written."""
    return json.dumps({"format": FORMAT, **asdict(manifest)}, indent=1)


def from_json(text: str, where: str) -> Manifest:
    """Read a manifest; raises `BackupError` naming the file."""
    try:
        raw: dict[str, Any] = json.loads(text)
        if raw.pop("format") != FORMAT:
            raise BackupError(f"{where}: another format; use the sightline that made it")
        files = tuple(file_from(one) for one in raw.pop("files"))
        return Manifest(files=files, **raw)
    except (ValueError, KeyError, TypeError):
        raise BackupError(f"{where}: is damaged; use an older backup of this folder") from None


def file_from(raw: dict[str, Any]) -> File:
    """Read one file's entry; its path must stay inside the folder."""
    file = File(**raw)
    path = PurePosixPath(file.path)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError("path outside the folder")
    return file
