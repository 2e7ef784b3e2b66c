"""The memory of a whole agent: real process, real broker, a clip of five faces at 1280x720."""

import base64
import contextlib
import json
import subprocess
import sys
import time
from itertools import chain as joined
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sim.broker import Broker
from sim.clips.encode import encode
from sim.demo.boxes import to_toml
from sim.errors import SimError
from tests.bench.edge.frames import Scene, compose
from tests.bench.edge.measure import status_mb

SCENE: Final = Scene("agent", (1280, 720), 5, 8, True, False)
SECONDS: Final = 160
LIMIT_S: Final = 120.0
FIELDS: Final = ("VmHWM", "VmRSS", "RssAnon", "RssFile")
AGENT: Final = (sys.executable, "-m", "agent.cli")


def whole_agent(folder: Path, photos: Path, seed: int) -> dict[str, Any]:
    """Return MB: the peak over the clip, and what is resident when it is over."""
    folder.mkdir(parents=True, exist_ok=True)
    clip = folder / "clip.mp4"
    frames, _ = compose(SCENE, photos, seed)
    walk = list(joined(range(SCENE.frames), range(SCENE.frames - 1, -1, -1)))
    encode(clip, ((s, frames[walk[s % len(walk)]]) for s in range(SECONDS)), SCENE.size_wh)
    broker = Broker(folder / "broker")
    try:
        broker.start()
        return _run(folder, clip, broker.port)
    except (SimError, subprocess.SubprocessError) as error:
        return {"failed": str(error)[:200]}
    finally:
        broker.stop()


def _run(folder: Path, clip: Path, port: int) -> dict[str, Any]:
    config = _configure(folder, clip, port)
    with (folder / "agent.log").open("wb") as log:
        process = subprocess.Popen([*AGENT, "run", "--config", str(config)], stderr=log, stdout=log)
    try:
        return _watch(process, folder / "agent.log")
    finally:
        process.terminate()
        process.wait(20)


def _configure(folder: Path, clip: Path, port: int) -> Path:
    data = folder / "data"
    if not (data / "identity.json").exists():
        subprocess.run(
            [*AGENT, "init", "--data-dir", str(data), "--agent-id", "bench", "--camera-id", "cam"],
            check=True, capture_output=True,
        )  # fmt: skip
    key = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    sections: dict[str, dict[str, object]] = {
        "agent": {"id": "bench", "data_dir": str(data.resolve()), "health_every_s": 2.0},
        "controller": {"signing_public_b64": base64.b64encode(key).decode("ascii")},
        "broker": {"host": "127.0.0.1", "port": port, "tls": False},
        "camera": {"id": "cam", "source": f"file:{clip.resolve()}",
                   "start_utc": "2026-03-02T09:00:00Z", "pace": "fast"},
        "vision": {"threads": 1},
    }  # fmt: skip
    path = folder / "agent.toml"
    path.write_text(to_toml(sections), encoding="utf-8")
    return path


def _watch(process: subprocess.Popen[bytes], log: Path) -> dict[str, Any]:
    """Follow the process until it has read the clip and ended; say what it used at last."""
    deadline = time.monotonic() + LIMIT_S
    last: dict[str, Any] = {}
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            fields = {f: status_mb(f, process.pid) for f in FIELDS}
            # A process that just ended has a status without memory.
            if fields["VmHWM"]:
                threads = len(list(Path(f"/proc/{process.pid}/task").iterdir()))
                last = {"threads": threads, **fields}
        if b"source ended" in log.read_bytes():
            return {"frames": SECONDS, **last}
        time.sleep(0.1)
    lines = log.read_text(encoding="utf-8").strip().splitlines() or ["did not end"]
    return {"failed": lines[-1][:200], **last}


if __name__ == "__main__":
    print(json.dumps(whole_agent(Path("build/bench/edge-agent"), Path("build/photos"), 7)))
