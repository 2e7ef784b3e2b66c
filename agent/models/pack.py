"""The model pack: which networks and statistics an agent runs, checked by hash before use."""

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from agent.errors import AgentError
from agent.vision.adaptation import Adaptation, CohortStatistics, statistics_from_bytes

DEFAULT_ROOT: Final = Path(__file__).parent
MANIFEST: Final = "manifest.toml"


class ModelPackInvalid(AgentError):
    """The pack's manifest is missing or wrong."""


class ModelHashMismatch(ModelPackInvalid):
    """A file of the pack is not the file that the manifest names."""


@dataclass(frozen=True, slots=True)
class PackFile:
    """One file of the pack with what the manifest says of it."""

    role: str
    variant: str
    path: Path
    sha256: str
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ModelPack:
    """A verified pack. `space_id` decides what templates can be compared with each other."""

    id: str
    space_id: str
    files: tuple[PackFile, ...]
    calibration: dict[str, Any]
    mask: dict[str, Any]

    def file(self, role: str, variant: str) -> PackFile:
        """Return one file; raises `ModelPackInvalid` naming the variants there are."""
        found = [f for f in self.files if f.role == role and f.variant == variant]
        if not found:
            have = ", ".join(f.variant for f in self.files if f.role == role) or "none"
            raise ModelPackInvalid(f"model {role}/{variant}: not in the pack (it has: {have})")
        return found[0]

    def path(self, role: str, variant: str = "float") -> Path:
        """Return the path of one file of the pack."""
        return self.file(role, variant).path

    def adaptation(self) -> Adaptation:
        """Work out the adaptation that belongs to the pack's space."""
        return self.cohort().adaptation()

    def cohort(self) -> CohortStatistics:
        """Read the statistics of the faces that the adaptation was learned from."""
        return statistics_from_bytes(self.path("adaptation", "cohort").read_bytes())


def load_pack(root: Path | None = None, *, verify: bool = True) -> ModelPack:
    """Read a pack's manifest and check every file's SHA-256.

    `root`: the folder with `manifest.toml`; the packaged one when absent. Raises
    `ModelPackInvalid` or `ModelHashMismatch`.
    """
    folder = DEFAULT_ROOT if root is None else root
    manifest = _read_manifest(folder / MANIFEST)
    try:
        files = tuple(_pack_file(folder, entry) for entry in manifest["file"])
        pack = ModelPack(
            id=manifest["pack"]["id"],
            space_id=manifest["pack"]["space_id"],
            files=files,
            calibration=manifest["calibration"],
            mask=manifest["mask"],
        )
    except (KeyError, TypeError) as error:
        raise ModelPackInvalid(
            f"{MANIFEST}: field {error} is missing; reinstall the pack"
        ) from None
    if verify:
        for file in files:
            check_hash(file)
    return pack


def check_hash(file: PackFile) -> None:
    """Raise `ModelHashMismatch` unless the file's content is what the manifest names."""
    try:
        digest = hashlib.sha256(file.path.read_bytes()).hexdigest()
    except OSError:
        raise ModelHashMismatch(
            f"model {file.path.name}: cannot be read; reinstall the model pack"
        ) from None
    if digest != file.sha256:
        raise ModelHashMismatch(
            f"model {file.path.name}: sha256 is {digest[:12]}..., the manifest says "
            f"{file.sha256[:12]}...; rebuild or reinstall the model pack"
        )


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise ModelPackInvalid(f"{path}: cannot be read; reinstall the model pack") from None
    except tomllib.TOMLDecodeError as error:
        raise ModelPackInvalid(f"{path}: {error}; reinstall the model pack") from None


def _pack_file(folder: Path, entry: dict[str, Any]) -> PackFile:
    facts = {k: v for k, v in entry.items() if k not in {"role", "variant", "file", "sha256"}}
    return PackFile(entry["role"], entry["variant"], folder / entry["file"], entry["sha256"], facts)
