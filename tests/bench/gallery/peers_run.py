"""All participants on the same rows, one after the other, each phase in a process of its own."""

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.bench.children import ask
from tests.bench.gallery.data import delete_dataset, make_dataset
from tests.bench.venvs import PeerUnavailable, python_of

LISTS: Final = Path(__file__).parent / "peers"
PHASE_TIMEOUT_S: Final = 900.0
"""A phase that takes longer is ended and told as failed."""


@dataclass(frozen=True, slots=True)
class Participant:
    """One way to search; `packages` names the list of its environment, None for our own."""

    name: str
    module: str
    variant: str
    packages: str | None = None
    most_rows: int = 1_000_000_000


PARTICIPANTS: Final = (
    Participant("ours", "ours_peer", "gallery"),
    Participant("NumPy float32", "numpy_peer", "float32"),
    Participant("FAISS flat SQ8", "faiss_peer", "sq8", "faiss"),
    Participant("FAISS PQ fast scan + SQ8", "faiss_peer", "pq", "faiss"),
    Participant("FAISS PQ fast scan of half the bytes + SQ8", "faiss_peer", "pq_half", "faiss"),
    Participant("FAISS RaBitQ fast scan + SQ8", "faiss_peer", "rabitq", "faiss"),
    Participant("LanceDB flat", "lance_peer", "flat", "lance"),
    Participant("LanceDB RaBitQ, refined", "lance_peer", "rabitq", "lance"),
    # A gRPC server in the same process that keeps every row as Python objects while it inserts:
    # three million rows do not fit this machine's memory.
    Participant("Milvus Lite flat", "milvus_peer", "flat", "milvus", most_rows=1_000_000),
)


def run_peers(
    folder: Path, rows: int, participants: Sequence[Participant] = PARTICIPANTS
) -> list[dict[str, Any]]:
    """Return what each participant told; one that fails is told with its reason.

    Needs 960 bytes of disk per row for the data and up to 1,600 for the largest participant.
    """
    found = []
    for one in participants:
        own_rows = min(rows, one.most_rows)
        data = folder / f"data-{own_rows}"
        make_dataset(data, own_rows)
        print(f"{one.name}, {own_rows:,} rows", file=sys.stderr, flush=True)
        found.append({"name": one.name, "rows": own_rows} | _run(one, data, folder))
    for rows_made in {min(rows, one.most_rows) for one in participants}:
        delete_dataset(folder / f"data-{rows_made}")
    return found


def _run(one: Participant, data: Path, folder: Path) -> dict[str, Any]:
    try:
        python = sys.executable if one.packages is None else str(
            python_of(LISTS / f"{one.packages}.txt", folder)
        )  # fmt: skip
    except PeerUnavailable as error:
        return {"failed": str(error)}
    home = folder / "home"
    shutil.rmtree(home, ignore_errors=True)
    told: dict[str, Any] = {}
    try:
        for phase in ("fill", "tune", "search"):
            setting = [json.dumps(told["setting"])] if phase == "search" else []
            told |= ask(
                python, f"tests.bench.gallery.peers.{one.module}",
                [phase, str(data), str(home), one.variant, *setting],
                timeout_s=PHASE_TIMEOUT_S, one_thread=False,
            )  # fmt: skip
            if "failed" in told:
                break
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return told
