"""What every measured process does alike, ours and peers: pin, time by stage, tell the peak.

Only the standard library and, late, numpy: peers import it inside their own environments, and a
process that weighs an import must not have it already.
"""

import contextlib
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

Box = tuple[float, float, float, float]
Work = Callable[[Any], list[Box]]
"""Takes an (h, w, 3) RGB frame, returns the boxes of its faces."""


class Watch:
    """Adds up CPU seconds by stage; a stage inside another is not counted twice."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inner = [0.0]

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the block's own CPU time, without that of stages inside it."""
        self._inner.append(0.0)
        start = time.process_time()
        try:
            yield
        finally:
            spent = time.process_time() - start
            own = spent - self._inner.pop()
            self.seconds[name] = self.seconds.get(name, 0.0) + own
            self._inner[-1] += spent

    def wrap(self, owner: object, attribute: str, name: str) -> None:
        """Time every call of an attribute of an object, class or module."""
        inner = getattr(owner, attribute)

        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.stage(name):
                return inner(*args, **kwargs)

        setattr(owner, attribute, timed)

    def take(self) -> dict[str, float]:
        """Return the seconds since the last call, by stage."""
        taken, self.seconds = self.seconds, {}
        return taken


def pin() -> int:
    """Keep this process on one core, the last that it may use; return its number."""
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return core


def peak_rss_mb() -> float:
    """Return the peak resident memory of this process in MB (10^6 bytes), as the kernel has it."""
    return status_mb("VmHWM")


def status_mb(field: str, pid: int | str = "self") -> float:
    """Return a memory field of /proc/<pid>/status in MB (10^6 bytes)."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return round(int(line.split()[1]) * 1024 / 1e6, 1)
    return 0.0


def run_scene(work: Work, watch: Watch, npz: Path, *, passes: int) -> dict[str, Any]:
    """Run the work on a scene's frames; the first pass is only timed if it is the only one.

    Passes go forward and back in turn, so that a walk stays a walk. Times are in milliseconds;
    `boxes` are those of the last forward pass, per frame.
    """
    import numpy as np

    runs: list[tuple[float, float, dict[str, float]]] = []
    boxes: dict[str, list[list[float]]] = {}
    with np.load(npz) as members:
        names = sorted(members.files)
        if passes == 1:
            work(members[names[0]])
        for turn in range(passes):
            for name in names if turn % 2 == 0 else names[::-1]:
                # One frame at a time: the peak must not hold the whole scene.
                found, spent = _timed(work, watch, members[name])
                boxes[name] = [[round(float(v), 1) for v in box] for box in found]
                if turn > 0 or passes == 1:
                    runs.append(spent)
    return {
        "wall_ms": [r[0] for r in runs], "cpu_ms": [r[1] for r in runs],
        "stages_ms": [r[2] for r in runs], "boxes": [boxes[name] for name in names],
    }  # fmt: skip


def _timed(
    work: Work, watch: Watch, image: Any
) -> tuple[list[Box], tuple[float, float, dict[str, float]]]:
    """Return what was found, and wall, CPU and stage times in milliseconds."""
    watch.take()
    start, start_cpu = time.perf_counter(), time.process_time()
    found = work(image)
    spent_cpu, spent = time.process_time() - start_cpu, time.perf_counter() - start
    stages = {name: round(seconds * 1e3, 3) for name, seconds in watch.take().items()}
    return found, (round(spent * 1e3, 3), round(spent_cpu * 1e3, 3), stages)


def tell(
    scenes: dict[str, Any], *, core: int, packages: Sequence[str], notes: dict[str, Any]
) -> None:
    """Write the process's one JSON object as the last line of stdout."""
    json.dump(
        {
            "scenes": scenes, "peak_rss_mb": peak_rss_mb(), "core": core,
            "python": platform.python_version(), "versions": _versions(packages), **notes,
        },
        sys.stdout,
    )  # fmt: skip
    sys.stdout.write("\n")


def main_of(
    make: Callable[[Watch], tuple[Callable[[], Work], dict[str, Any]]], packages: Sequence[str]
) -> None:
    """Pin, prepare, run the .npz files of the command line (`PASSES FILE...`), tell the result.

    `make` runs after the pinning, so that thread pools are sized for one core. It returns what
    begins the work on a new scene, and what is to be noted.
    """
    core = pin()
    passes, *files = sys.argv[1:]
    watch = Watch()
    begin, notes = make(watch)
    scenes = {
        Path(file).stem: run_scene(
            begin(), watch, Path(file), passes=1 if "stills" in file else int(passes)
        )
        for file in files
    }
    tell(scenes, core=core, packages=packages, notes=notes)


def _versions(packages: Sequence[str]) -> dict[str, str]:
    found = {}
    for name in packages:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
