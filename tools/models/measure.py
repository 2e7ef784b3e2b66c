"""Measure what the pack claims: strangers, genuine pairs, and int8 against float."""

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.models.runtime import Network, load_network
from tools.models import adapt
from tools.models import crops as c

F32 = NDArray[np.float32]
GENUINE_PAIRS = 250
DETECT_AT = 0.5


def adaptation_report(
    raw: dict[str, F32], crops: dict[str, c.U8], embedder: Network, mean: F32, whitening: F32
) -> dict[str, Any]:
    """Describe strangers before and after adaptation, and degraded views of the same face."""
    adapted = {k: adapt.apply(v, mean, whitening) for k, v in raw.items()}
    report: dict[str, Any] = {}
    for name, vectors in (("raw", raw), ("adapted", adapted)):
        report[name] = {
            "unmasked-unmasked": adapt.describe(adapt.stranger_similarities(vectors["unmasked"])),
            "masked-masked": adapt.describe(adapt.stranger_similarities(vectors["masked"])),
            "masked-unmasked": adapt.describe(
                adapt.stranger_similarities(vectors["masked"], vectors["unmasked"])
            ),
        }
    report["same_picture_degraded"] = degraded_pairs(crops, embedder, mean, whitening)
    return report


def degraded_pairs(
    crops: dict[str, c.U8], embedder: Network, mean: F32, whitening: F32
) -> dict[str, Any]:
    """Compare two independently degraded copies of one picture: an upper bound for genuine."""
    rng = np.random.default_rng(2)

    def views(images: list[c.U8]) -> F32:
        rows = adapt.embed_crops(embedder, [c.degrade(i, rng) for i in images])
        return adapt.apply(rows, mean, whitening)

    bare = list(crops["unmasked"][:GENUINE_PAIRS])
    real = list(crops["masked"][:GENUINE_PAIRS])
    drawn = [c.draw_mask(i, rng) for i in bare]
    pairs = {
        "unmasked-unmasked": (views(bare), views(bare)),
        "masked-masked": (views(real), views(real)),
        "masked-unmasked": (views(drawn), views(bare)),
    }
    return {name: adapt.describe(np.sum(a * b, axis=1)) for name, (a, b) in pairs.items()}


def int8_report(folder: Path, crops: c.U8, scenes: NDArray[np.uint8]) -> dict[str, Any]:
    """Compare int8 with float: cosine of embeddings, kept detections, and time."""
    rng = np.random.default_rng(3)
    faces = [crops[i] for i in rng.choice(len(crops), 200, replace=False)]
    embedders = [load_network(folder / f"mobilefacenet_{v}.tflite") for v in ("float", "int8")]
    left, right = (adapt.embed_crops(n, faces) for n in embedders)
    detectors = [load_network(folder / f"centerface_640x384_{v}.tflite") for v in ("float", "int8")]
    kept, total, extra = 0, 0, 0
    for scene in scenes:
        peaks = [heat_peaks(n, scene[None].astype(np.float32)) for n in detectors]
        matched = sum(any(_near(a, b) for b in peaks[1]) for a in peaks[0])
        kept, total = kept + matched, total + len(peaks[0])
        extra += sum(not any(_near(a, b) for a in peaks[0]) for b in peaks[1])
    one_scene = scenes[:1].astype(np.float32)
    one_face = np.zeros((1, 112, 112, 3), np.float32)
    return {
        "embedder_cosine_mean": round(float(np.sum(left * right, 1).mean()), 4),
        "embedder_cosine_min": round(float(np.sum(left * right, 1).min()), 4),
        "embedder_ms": [_milliseconds(n, one_face) for n in embedders],
        "detections_float": total,
        "detections_kept": round(kept / max(total, 1), 4),
        "detections_extra": extra,
        "detector_ms": [_milliseconds(n, one_scene) for n in detectors],
    }


def heat_peaks(network: Network, batch: F32) -> list[tuple[int, int]]:
    """Return the cells (row, column) of local maxima above the detection threshold."""
    outputs = network.run(batch)
    heat = next(o for o in outputs if o.shape[-1] == 1)[0, :, :, 0]
    padded = np.pad(heat, 1, constant_values=-1)
    shifted = [
        padded[i : i + heat.shape[0], j : j + heat.shape[1]] for i in range(3) for j in range(3)
    ]
    peak = (heat >= np.max(shifted, axis=0)) & (heat > DETECT_AT)
    return [(int(r), int(q)) for r, q in np.argwhere(peak)]


def _near(a: tuple[int, int], b: tuple[int, int]) -> bool:
    return abs(a[0] - b[0]) <= 2 and abs(a[1] - b[1]) <= 2


def _milliseconds(network: Network, batch: F32) -> float:
    network.run(batch)
    times = []
    for _ in range(10):
        start = time.perf_counter()
        network.run(batch)
        times.append(time.perf_counter() - start)
    return round(float(np.median(times)) * 1000, 2)
