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

PACK_ID = "sightline-pack-1"
SPACE_ID = "mfn192-arc5-w1"
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
    resized = "graph dimensions set to 1x3x384x640, onnx2tf to float32"
    detector = {"input": "1x384x640x3 RGB 0..255", "output": DETECTOR_OUT}
    embedder = {"input": EMBEDDER_IN, "output": "1x192, L2-normalise, then adapt"}
    static = "static int8 weights and activations, int8 edges, calibrated on crops"
    blaze = {"transformation": "none", "output": "SSD boxes and 6 landmarks, anchors as packaged"}
    return [
        _entry("detector", "centerface-float", "centerface_640x384_float.tflite", CENTERFACE,
               transformation=resized, **detector),
        _entry("detector", "centerface-int8", "centerface_640x384_int8.tflite", CENTERFACE,
               transformation=f"{resized}; {static}", **detector),
        _entry("detector", "blazeface-full", "blazeface_full_range.tflite", BLAZEFACE_FULL,
               input="1x192x192x3 RGB -1..1", **blaze),
        _entry("detector", "blazeface-short", "blazeface_short_range.tflite", BLAZEFACE_SHORT,
               input="1x128x128x3 RGB -1..1", **blaze),
        _entry("embedder", "float", "mobilefacenet_float.tflite", MOBILEFACENET,
               transformation="batch constant 2 -> 1", **embedder),
        _entry("embedder", "int8", "mobilefacenet_int8.tflite", MOBILEFACENET,
               transformation=f"batch constant 2 -> 1; {static}", **embedder),
        _entry("mask", "float", "mask_v1.tflite", None,
               input="1x96x96x3 RGB 0..255, five-point aligned, 1.4 x the ArcFace frame",
               output="1x1 calibrated P(masked)"),
        _entry("adaptation", "cohort", "adaptation_w1.npz", None,
               output="mean (192,), whitening (192, 192); cohort_mean, cohort_cov after it"),
    ]  # fmt: skip


def write(out: Path, report: dict[str, Any], sha256_of: Callable[[Path], str]) -> None:
    """Write the manifest for the files in `out`."""
    lines = ["# Written by tools/models/build_pack.py; do not edit.", "", "[pack]",
             f'id = "{PACK_ID}"', f'space_id = "{SPACE_ID}"', ""]  # fmt: skip
    for entry in entries():
        path = out / entry["file"]
        facts = entry | {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
        facts |= _measured(entry["role"], entry["variant"], report)
        lines += ["[[file]]", *(f"{k} = {_toml(v)}" for k, v in facts.items()), ""]
    lines += _calibration(report["adaptation"])
    (out / "manifest.toml").write_text("\n".join(lines), encoding="utf-8")


def _measured(role: str, variant: str, report: dict[str, Any]) -> Entry:
    """Pick what was measured on one file; times are one thread, x86-64, milliseconds."""
    int8, mask = report.get("int8", {}), report.get("mask", {})
    chosen: dict[tuple[str, str], dict[str, Any]] = {}
    if int8:
        chosen["detector", "centerface-float"] = {"ms": int8["detector_ms"][0]}
        chosen["detector", "centerface-int8"] = {
            "ms": int8["detector_ms"][1],
            "detections_kept": int8["detections_kept"],
            "of_float_detections": int8["detections_float"],
            "extra_detections": int8["detections_extra"],
        }
        chosen["embedder", "float"] = {"ms": int8["embedder_ms"][0]}
        chosen["embedder", "int8"] = {
            "ms": int8["embedder_ms"][1],
            "cosine_to_float_mean": int8["embedder_cosine_mean"],
            "cosine_to_float_min": int8["embedder_cosine_min"],
        }
    if mask:
        keys = ("held_out", "balanced_accuracy", "balanced_accuracy_28px", "drawn_masks_found")
        chosen["mask", "float"] = {k: mask[k] for k in keys}
    measured = chosen.get((role, variant))
    return {} if measured is None else {"measured": measured}


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
