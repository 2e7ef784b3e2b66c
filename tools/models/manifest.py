"""Write the pack's `manifest.toml` from its files and what was measured on them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools.models.sources import (
    BLAZEFACE_FULL,
    BLAZEFACE_SHORT,
    CENTERFACE,
    MOBILEFACENET,
    Source,
)  # fmt: skip

MASK_FILE = "mask_v2.tflite"
PACK_ID = "sightline-pack-2"
SPACE_ID = "mfn192-arc5-w2"
DETECTOR_OUT = "heat, scale (h, w as log), offset (y, x), landmarks 5 x (y, x); 1/4 size, NHWC"
EMBEDDER_IN = "1x112x112x3 RGB, (x - 127.5) / 128, ArcFace five-point alignment"
OWN = "trained or learned by tools/models from aligned face crops that are not shipped"

Entry = dict[str, Any]


def _entry(role: str, variant: str, file: str, source: Source | None, **facts: str) -> Entry:
    entry: Entry = {"role": role, "variant": variant, "file": file}
    if source is None:
        entry |= {"source": OWN, "licence": "Apache-2.0"}
    else:
        entry |= {
            "source": f"{source.registry}:{source.package}=={source.version}:{source.member}",
            "source_sha256": source.sha256,
            "licence": source.licence,
        }
    return entry | facts


def entries() -> list[Entry]:
    """List every file of the pack with its fixed facts."""
    resized = "graph dimensions set to 1x3x384x640, ConvTranspose as Conv and DepthToSpace"
    to_tflite = f"{resized}, onnx2tf"
    detector = {"input": "1x384x640x3 RGB 0..255", "output": DETECTOR_OUT}
    embedder = {"input": EMBEDDER_IN, "output": "1x192, L2-normalise, then adapt"}
    batch = "batch constant 2 -> 1"
    static = "static int8 weights and activations, int8 edges, calibrated on crops"
    blaze = {"transformation": "none", "output": "SSD boxes and 6 landmarks, anchors as packaged"}
    return [
        _entry("detector", "centerface-fp16", "centerface_fp16.tflite", CENTERFACE,
               transformation=f"{to_tflite}; weights fp16", **detector),
        _entry("detector", "centerface-int8", "centerface_int8.tflite", CENTERFACE,
               transformation=f"{to_tflite}; {static}", **detector),
        _entry("detector", "centerface-onnx", "centerface.onnx", CENTERFACE,
               transformation=resized, **detector),
        _entry("detector", "blazeface-full", "blazeface_full_range.tflite", BLAZEFACE_FULL,
               input="1x192x192x3 RGB -1..1", **blaze),
        _entry("detector", "blazeface-short", "blazeface_short_range.tflite", BLAZEFACE_SHORT,
               input="1x128x128x3 RGB -1..1", **blaze),
        _entry("embedder", "float", "mobilefacenet_float.tflite", MOBILEFACENET,
               transformation=batch, **embedder),
        _entry("embedder", "int8", "mobilefacenet_int8.tflite", MOBILEFACENET,
               transformation=f"{batch}; int8 weights a channel, float activations", **embedder),
        _entry("embedder", "int8-full", "mobilefacenet_int8_full.tflite", MOBILEFACENET,
               transformation=f"{batch}; {static}", **embedder),
        _entry("embedder", "onnx", "mobilefacenet.onnx", MOBILEFACENET,
               transformation=f"{batch}; tf2onnx", **embedder),
        _entry("mask", "fp16", MASK_FILE, None,
               input="1x96x96x3 RGB 0..255, five-point aligned, 1.4 x the ArcFace frame",
               output="1x1 sigmoid(logit / logit_scale)", transformation="weights fp16"),
        _entry("adaptation", "cohort", "adaptation_w2.npz", None,
               output="count, mean (192,), covariance (192, 192) a mask state; mask_scatter"),
    ]  # fmt: skip


def compiled(out: Path) -> list[Entry]:
    """List what Google's edgetpu_compiler made of the wholly quantised files, if it was run."""
    found = []
    for entry in entries():
        file = f"{Path(entry['file']).stem}_edgetpu.tflite"
        if (out / file).exists():
            how = f"{entry['transformation']}; edgetpu_compiler"
            variant = f"{entry['variant']}-edgetpu"
            found.append(entry | {"variant": variant, "file": file, "transformation": how})
    return found


def write(out: Path, report: dict[str, Any], sha256_of: Callable[[Path], str]) -> None:
    """Write the manifest for the files in `out`."""
    lines = ["# Written by tools/models/build_pack.py; do not edit.", "", "[pack]",
             f'id = "{PACK_ID}"', f'space_id = "{SPACE_ID}"', ""]  # fmt: skip
    for entry in entries() + compiled(out):
        path = out / entry["file"]
        facts = entry | {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
        if entry["role"] == "mask":
            facts |= {"logit_scale": report["mask"]["logit_scale"]}
        facts |= _measured(entry["role"], entry["variant"], report)
        lines += ["[[file]]", *(f"{k} = {_toml(v)}" for k, v in facts.items()), ""]
    lines += ["[mask]", f"offset = {report['mask']['offset']}",
              f"temperature = {report['mask']['temperature']}", ""]  # fmt: skip
    lines += _calibration(report["adaptation"])
    (out / "manifest.toml").write_text("\n".join(lines), encoding="utf-8")


def _measured(role: str, variant: str, report: dict[str, Any]) -> Entry:
    """Pick what was measured on one file; times are one thread, x86-64, milliseconds."""
    found, mask = report.get("variants"), report.get("mask")
    if role == "detector" and found and variant in found["detector_ms"]:
        kept = found["detections"][variant]
        return {"measured": {"ms": found["detector_ms"][variant],
                             "packaged_onnx_ms": found["detector_ms"]["packaged"],
                             "detections_kept": kept["kept"], "detections": kept["of"],
                             "extra_detections": kept["extra"]}}  # fmt: skip
    if role == "embedder" and found:
        mean, least = found["embedder_cosine_mean"], found["embedder_cosine_min"]
        return {"measured": {"ms": found["embedder_ms"][variant],
                             "cosine_to_float_mean": mean[variant],
                             "cosine_to_float_min": least[variant]}}  # fmt: skip
    if role == "mask" and mask:
        keys = ("held_out", "balanced_accuracy", "balanced_accuracy_28px", "drawn_masks_found",
                "unsure")  # fmt: skip
        return {"measured": {k: mask[k] for k in keys}}
    return {}


def _calibration(measured: dict[str, Any]) -> list[str]:
    """Render the calibration: strangers as measured, the same person as widened below.

    Degraded copies of one picture lie closer together than two pictures of one person, so the
    genuine means are lowered and the spreads widened (GENUINE_SHIFT, GENUINE_SD).
    """
    lines = [
        "# Similarity of templates in the adapted space, per mask pair (mean, sd).",
        "# impostor: measured on held-out strangers; genuine: degraded pairs, moved by a fixed",
        "# margin because two pictures of a person differ more than two copies of one picture.",
    ]
    for pair, strangers in measured["adapted"].items():
        same = measured["same_picture_degraded"][pair]
        mean = round(same["mean"] - GENUINE_SHIFT, 4)
        lines += [
            f'[calibration."{pair}"]',
            f"impostor_mean = {strangers['mean']}",
            f"impostor_sd = {strangers['sd']}",
            f"genuine_mean = {mean}",
            f"genuine_sd = {round(max(GENUINE_SD, same['sd']), 4)}",
            "",
        ]
    return lines


GENUINE_SHIFT = 0.08
GENUINE_SD = 0.13


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, int | float):
        return str(round(value, 4))
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
