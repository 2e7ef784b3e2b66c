"""Where a gallery may lie, and scripts that use one in a process of their own."""

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

ROOT = Path(__file__).parents[3]
USER, PASSWORD = "sightline", "open sesame"
CLUSTER = "town"
PRELUDE = """
import json, sys
import numpy as np
from controller.adapters.gallery import Gallery
from controller.services.ports import GalleryRow, GalleryScope
from wire.ids import uuid7
from uuid import UUID
from pathlib import Path
dsn, search_dir, cluster = sys.argv[1:]
gallery = Gallery.open(dsn, Path(search_dir), cluster=cluster or None)
START = 1_763_800_000_000_000
DAY = 86_400_000_000
def row(i, day=0):
    start = START + day * DAY + i * 1000
    template = np.random.default_rng(i).integers(-127, 128, 192, np.int8).tobytes()
    return GalleryRow(
        id=uuid7(unix_ms=start // 1000, random_bytes=i.to_bytes(10, "big")), agent_id="box",
        camera_id=f"cam-{i % 3}", epoch=start // DAY, shard=i % 2, start_us=start, end_us=start + 9,
        time_uncertainty_s=0.5, space_id="space", variant="float", template=template,
        mask_state="masked", mask_probability=0.9, quality=0.5, face_count=2)
def scope(cameras=None):
    return GalleryScope(START, START + 3 * DAY, "space", cameras)
def found(probe, least=0.999, cameras=None):
    limits = np.full((1, 4), least, np.float32)
    vector = probe.astype(np.float32)[None] / np.linalg.norm(probe.astype(np.float32))
    hits = [gallery.search(s, vector, limits) for s in gallery.segments(scope(cameras))]
    return [str(UUID(bytes=i.tobytes())) for h in hits for i in h.ids]
def template(i):
    return np.frombuffer(row(i).template, np.int8)
def done(**facts):
    print(json.dumps(facts)); gallery.close()
"""


@dataclass(frozen=True)
class Place:
    """A gallery that nobody has written to."""

    dsn: str
    search_dir: Path
    cluster: str = ""


@dataclass
class Endpoint:
    """A process that serves chDB as a ClickHouse server would."""

    folder: Path
    options: tuple[str, ...] = ()
    port: int = 0
    scheme: str = "clickhouse"
    process: subprocess.Popen[str] = field(init=False)

    def start(self) -> None:
        """Start it; after the first time on the same port."""
        command = [sys.executable, "-m", "tests.integration.gallery.chdb_server", str(self.folder)]
        self.process = subprocess.Popen(
            [*command, "--port", str(self.port), *self.options],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.communicate()

    def dsn(self, database: str = "default", password: str = PASSWORD) -> str:
        """Return how to reach it."""
        return f"{self.scheme}://{USER}:{quote(password)}@127.0.0.1:{self.port}/{database}"


def with_database(dsn: str, database: str) -> str:
    """Return the same server's DSN with another database."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{database}"))


def started(place: Place, script: str) -> subprocess.Popen[str]:
    """Start a script that finds a `gallery` opened at this place."""
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + script, place.dsn, str(place.search_dir), place.cluster],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def run(place: Place, script: str) -> dict[str, Any]:
    """Run a script and return the facts that it prints with `done`."""
    process = started(place, script)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err[-2000:]
    return dict(json.loads(out.splitlines()[-1]))
