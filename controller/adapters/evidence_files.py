"""Evidence pictures on disk, each encrypted by its case's key before it comes here."""

import os
import shutil
from pathlib import Path
from uuid import UUID

from controller.services.refusals import NotFound


class EvidenceFolder:
    """`EvidenceFiles` as `<root>/<case>/<evidence>.bin`, mode 0600."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def write(self, case_id: UUID, evidence_id: UUID, sealed: bytes) -> None:
        """Keep one encrypted picture, durably."""
        folder = self._root / case_id.hex
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = folder / f"{evidence_id.hex}.part"
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(sealed)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(self._path(case_id, evidence_id))

    def read(self, case_id: UUID, evidence_id: UUID) -> bytes:
        """Return one encrypted picture."""
        try:
            return self._path(case_id, evidence_id).read_bytes()
        except OSError:
            raise NotFound("evidence_id", "this picture is gone; ask the agent again") from None

    def drop(self, case_id: UUID, evidence_id: UUID) -> None:
        """Delete one picture."""
        self._path(case_id, evidence_id).unlink(missing_ok=True)

    def drop_case(self, case_id: UUID) -> int:
        """Delete all pictures of a case; how many there were."""
        folder = self._root / case_id.hex
        if not folder.exists():
            return 0
        count = len(list(folder.glob("*.bin")))
        shutil.rmtree(folder)
        return count

    def _path(self, case_id: UUID, evidence_id: UUID) -> Path:
        return self._root / case_id.hex / f"{evidence_id.hex}.bin"
