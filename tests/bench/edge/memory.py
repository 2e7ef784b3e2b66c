"""Where the resident memory of an agent comes from: modules, networks, the whole process."""

import importlib
import json
import sys
from pathlib import Path
from typing import Any, Final

from tests.bench.children import ask
from tests.bench.edge.measure import status_mb

TIMEOUT_S: Final = 120
FIELDS: Final = ("VmRSS", "RssAnon", "RssFile")
MODULES: Final = (
    "numpy", "cv2", "av", "scipy.optimize", "pydantic", "cryptography.x509", "paho.mqtt.client",
    "ai_edge_litert.interpreter", "sqlite3", "typer", "psutil", "agent.vision.chain", "agent.build",
    "agent.cli",
)  # fmt: skip


def memory(out: Path, photos: Path, seed: int) -> dict[str, Any]:
    """Return MB (10^6 bytes) by module, by network, and of a whole agent over a 1280x720 clip."""
    # Imported late: a child of this module weighs imports and must not bring its own.
    from tests.bench.edge.whole_agent import whole_agent

    return {
        "modules_alone_mb": {name: _child("module", name) for name in MODULES},
        "networks_mb": _child("networks"),
        "whole_agent_1280x720": whole_agent(out / "edge-agent", photos, seed),
    }


def now_mb() -> dict[str, float]:
    """Return what is resident now, and its anonymous and file-backed parts."""
    return {field: status_mb(field) for field in FIELDS}


def _child(*arguments: str) -> dict[str, Any]:
    module = "tests.bench.edge.memory"
    return ask(sys.executable, module, arguments, timeout_s=TIMEOUT_S, one_thread=False)


def _module(name: str) -> dict[str, float]:
    """Import one module with all that it needs in a bare interpreter; return the growth."""
    before = now_mb()
    importlib.import_module(name)
    after = now_mb()
    return {field: round(after[field] - before[field], 1) for field in FIELDS}


def _networks() -> dict[str, dict[str, float]]:
    """Load and run what an agent runs by default, one network after another."""
    import numpy as np

    from agent.models.pack import load_pack
    from agent.vision.build import VisionSettings, build_detector, build_embedder, build_masks

    importlib.import_module("ai_edge_litert.interpreter")
    pack, settings, blank = load_pack(), VisionSettings(), np.zeros((384, 640, 3), np.uint8)
    points = np.array([[20, 20], [40, 20], [30, 30], [22, 40], [38, 40]], np.float32)
    found, start = {}, now_mb()
    detector = build_detector(pack, settings)
    found["detector"] = {"loaded": _since(start)}
    detector.detect(blank, threshold=0.5)
    found["detector"]["run"] = _since(start)
    start = now_mb()
    embedder = build_embedder(pack, settings)
    found["embedder"] = {"loaded": _since(start)}
    embedder.embed(blank, points)
    found["embedder"]["run"] = _since(start)
    start = now_mb()
    build_masks(pack, settings).probability(blank, points)
    found["masks"] = {"run": _since(start)}
    return found


def _since(start: dict[str, float]) -> float:
    return round(status_mb("VmRSS") - start["VmRSS"], 1)


if __name__ == "__main__":
    asked = sys.argv[1:]
    print(json.dumps(_module(asked[1]) if asked[0] == "module" else _networks()))
