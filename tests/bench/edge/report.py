"""From what the processes told to figures: medians, frames per second, recall, the headline."""

from collections.abc import Iterator
from statistics import fmean, median
from typing import Any, Final

Box = tuple[float, float, float, float]
MATCH_IOU: Final = 0.3
"""The detectors frame a face differently (hair, chin, ears), so a looser match than usual."""
TARGET_RATIO: Final = 4.0
FRAME: Final = ("1280x720", "5_faces")


def rows(
    runs: dict[str, list[dict[str, Any]]], names: dict[str, str], truth: dict[str, list[list[Box]]]
) -> dict[str, Any]:
    """Return, for one frame size, every participant's figures by scene."""
    found = {}
    for participant, rounds in runs.items():
        good = [r for r in rounds if "failed" not in r]
        if not good:
            found[participant] = {"failed": rounds[0]["failed"]}
            continue
        facts = {k: v for k, v in good[0].items() if k not in {"scenes", "peak_rss_mb", "core"}}
        scenes = {
            short: _scene([r["scenes"][name] for r in good if name in r["scenes"]], truth[name])
            for name, short in names.items()
        }
        found[participant] = {
            "peak_rss_mb": max(r["peak_rss_mb"] for r in good), "scenes": scenes, "ran": facts,
        }  # fmt: skip
    return found


def _scene(rounds: list[dict[str, Any]], truth: list[list[Box]]) -> dict[str, Any]:
    """Return one scene's figures in the quietest of the rounds; milliseconds of CPU time."""
    best = min(rounds, key=lambda r: fmean(r["cpu_ms"]))
    wall = min(fmean(r["wall_ms"]) for r in rounds)
    right, false = matches(best["boxes"], truth)
    faces = sum(len(boxes) for boxes in truth)
    return {
        "ms": round(median(best["cpu_ms"]), 2),
        "mean_ms": round(fmean(best["cpu_ms"]), 2),
        "fps": round(1000 / fmean(best["cpu_ms"]), 2),
        "wall_ms": round(min(median(r["wall_ms"]) for r in rounds), 2),
        "wall_fps": round(1000 / wall, 2),
        "stages_ms": _stages(best),
        "faces": faces,
        "recall": round(right / faces, 4) if faces else None,
        "false_found": false,
    }


def _stages(run: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Return median and mean by stage; `rest` is what no stage explains."""
    frames = [
        {**stages, "rest": total - sum(stages.values())}
        for stages, total in zip(run["stages_ms"], run["cpu_ms"], strict=True)
    ]
    kinds = sorted({kind for frame in frames for kind in frame})
    values = {kind: [frame.get(kind, 0.0) for frame in frames] for kind in kinds}
    return {
        kind: {"median": round(median(v), 2), "mean": round(fmean(v), 2)}
        for kind, v in values.items()
    }


def matches(found: list[list[Box]], truth: list[list[Box]]) -> tuple[int, int]:
    """Return how many true faces were found, and how many boxes are on no face."""
    right = total = 0
    for boxes, faces in zip(found, truth, strict=True):
        left = list(boxes)
        total += len(boxes)
        for face in faces:
            fitting = [b for b in left if _inside(b, face) and iou(b, face) >= MATCH_IOU]
            if fitting:
                left.remove(max(fitting, key=lambda b, f=face: iou(b, f)))  # type: ignore[misc]
                right += 1
    return right, total - right


def iou(a: Box, b: Box) -> float:
    """Return intersection over union of two boxes (x1, y1, x2, y2)."""
    across = min(a[2], b[2]) - max(a[0], b[0])
    down = min(a[3], b[3]) - max(a[1], b[1])
    both = max(across, 0.0) * max(down, 0.0)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def _inside(box: Box, face: Box) -> bool:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return face[0] <= x <= face[2] and face[1] <= y <= face[3]


def headline(sizes: dict[str, Any]) -> dict[str, Any]:
    """Compare end to end with dlib on 5 faces at 1280x720; empty if dlib did not run."""
    size = sizes[FRAME[0]]
    pairs = {
        f"{ours}_vs_{peer}": _pair(size[ours], size[peer])
        for ours in ("ours_every_face", "ours")
        for peer in ("dlib_upsample1", "dlib_upsample0")
        if "scenes" in size.get(ours, {}) and "scenes" in size.get(peer, {})
    }
    return {"frame": FRAME[0], "faces": FRAME[1], "target_ratio": TARGET_RATIO, **pairs}


def _pair(ours: dict[str, Any], peer: dict[str, Any]) -> dict[str, Any]:
    mine, theirs = ours["scenes"][FRAME[1]], peer["scenes"][FRAME[1]]
    ratio = mine["fps"] / theirs["fps"]
    seen, seen_by_peer = ours["scenes"]["stills"], peer["scenes"]["stills"]
    # What the peer's weights or build could win at most: its detection alone, the rest free.
    detection_ms = theirs["stages_ms"]["detect"]["mean"]
    return {
        "fps": mine["fps"], "peer_fps": theirs["fps"], "ratio": round(ratio, 2),
        "wall_ratio": round(mine["wall_fps"] / theirs["wall_fps"], 2),
        "ratio_if_peer_only_detected": round(detection_ms / mine["mean_ms"], 2),
        "recall": seen["recall"], "peer_recall": seen_by_peer["recall"],
        "met": ratio >= TARGET_RATIO and seen["recall"] >= seen_by_peer["recall"],
    }  # fmt: skip


def table(sizes: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of a table for people: ms (median) and fps, one core, CPU time."""
    yield f"{'frame':10}{'participant':17}{'0 f':>8}{'1 f':>8}{'5 f':>8}{'20 f':>8} ms" + (
        f"{'fps 5 f':>9}{'recall':>8}{'masked':>8}{'MB':>7}"
    )
    for size, participants in sizes.items():
        for name, found in participants.items():
            if "failed" in found:
                yield f"{size:10}{name:17} failed: {found['failed']}"
                continue
            scenes = found["scenes"]
            medians = "".join(f"{scenes[f'{n}_faces']['ms']:8.1f}" for n in (0, 1, 5, 20))
            recalls = f"{scenes['stills']['recall']:8.2f}{scenes['stills_masked']['recall']:8.2f}"
            yield (
                f"{size:10}{name:17}{medians}   {scenes['5_faces']['fps']:9.1f}{recalls}"
                f"{found['peak_rss_mb']:7.0f}"
            )
