"""The gallery on real chDB, each test in a process of its own: chDB opens one path per process."""

import json
import subprocess
import sys
from pathlib import Path

PRELUDE = """
import json, sys
import numpy as np
from controller.adapters.gallery import Gallery
from controller.services.ports import GalleryRow, GalleryScope
from wire.ids import uuid7
gallery = Gallery.open("chdb://" + sys.argv[1])
START = 1_763_800_000_000_000
DAY = 86_400_000_000
def row(i, day=0):
    start = START + day * DAY + i * 1000
    template = np.random.default_rng(i).integers(-127, 128, 192, np.int8).tobytes()
    return GalleryRow(
        id=uuid7(unix_ms=start // 1000, random_bytes=i.to_bytes(10, "big")), agent_id="box",
        camera_id=f"cam-{i % 3}", epoch=start // DAY, shard=i % 2, start_us=start, end_us=start + 9,
        time_uncertainty_s=0.5, space_id="space", variant="float", template=template,
        mask_state="masked", mask_probability=0.9, quality=0.5, face_count=2, received_us=start)
def scope(cameras=None):
    return GalleryScope(START, START + 3 * DAY, "space", cameras)
def done(**facts):
    print(json.dumps(facts)); gallery.close()
"""


def run(folder: Path, script: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + script, str(folder / "gallery")],
        capture_output=True, text=True, timeout=120, check=True, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_a_sighting_that_comes_three_times_is_one_and_scans_once(tmp_path: Path) -> None:
    facts = run(tmp_path, """
rows = [row(i) for i in range(300)]
for _ in range(3): gallery.insert(rows)
slices = list(gallery.scan(scope()))
same = all(s.templates[k].tobytes() == next(r for r in rows if r.id == i).template
           for s in slices for k, i in enumerate(s.ids))
done(count=gallery.count(), scanned=sum(len(s.ids) for s in slices), same=same,
     shards=sorted({s.shard for s in slices}),
     one_camera=sum(len(s.ids) for s in gallery.scan(scope(("cam-1",)))))
""")  # fmt: skip
    assert facts == {"count": 300, "scanned": 300, "same": True, "shards": [0, 1],
                     "one_camera": 100}  # fmt: skip


def test_purging_drops_whole_days_and_nothing_else(tmp_path: Path) -> None:
    facts = run(tmp_path, """
gallery.insert([row(i, day) for day in range(3) for i in range(10)])
dropped = gallery.purge_before(row(0, 2).epoch)
done(dropped=dropped, left=gallery.count())
""")  # fmt: skip
    assert facts == {"dropped": 2, "left": 10}


def test_what_insert_returned_for_survives_kill_9(tmp_path: Path) -> None:
    script = (
        PRELUDE
        + """
import os, signal
gallery.insert([row(i) for i in range(100)])
print("inserted", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    )
    killed = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "gallery")],
        capture_output=True, text=True, timeout=120, check=False, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert "inserted" in killed.stdout
    assert run(tmp_path, "done(count=gallery.count())") == {"count": 100}
