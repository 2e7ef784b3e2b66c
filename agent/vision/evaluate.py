"""Judge the networks on pictures of one's own: verification pairs, masks, strangers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agent.vision.detector import Detector
from agent.vision.faces import Embedder, MaskClassifier
from agent.vision.pictures import Pair, main_detection, pictures_in, read_picture
from agent.vision.tracklets import mask_name
from agent.vision.types import F32, Detection, MaskName

QUANTILES: Final = (0.5, 0.9, 0.99, 0.999)


@dataclass(frozen=True, slots=True)
class LookedAt:
    """The main face of one picture; `raw` (192,) unit embedding before adaptation."""

    detection: Detection
    raw: F32
    mask_probability: float

    @property
    def state(self) -> MaskName:
        """Name the mask state."""
        return mask_name(self.mask_probability)


@dataclass(frozen=True, slots=True)
class Looker:
    """The networks that look at one picture."""

    detector: Detector
    embedder: Embedder
    masks: MaskClassifier

    def main_face(self, path: Path) -> LookedAt | None:
        """Look at the picture's largest, most central face; None if there is none."""
        image = read_picture(path)
        found = main_detection(self.detector, image)
        if found is None:
            return None
        points = found.landmarks_xy
        return LookedAt(
            found, self.embedder.embed(image, points), self.masks.probability(image, points)
        )

    def adapted(self, face: LookedAt) -> F32:
        """Return the (192,) embedding as it would be stored."""
        return self.embedder.adapt(face.raw, face.state)


def verify(looker: Looker, pairs: Sequence[Pair], images: Path) -> Iterator[dict[str, Any]]:
    """Compare every pair; yields one line a pair and a summary with the best threshold."""
    seen: dict[str, F32 | None] = {}
    for name in sorted({n for p in pairs for n in (p.file_x, p.file_y)}):
        face = looker.main_face(images / name)
        seen[name] = None if face is None else looker.adapted(face)
    similarities: list[float | None] = []
    for pair in pairs:
        left, right = seen[pair.file_x], seen[pair.file_y]
        similarity = None if left is None or right is None else float(left @ right)
        similarities.append(similarity)
        yield {"file_x": pair.file_x, "file_y": pair.file_y, "same": pair.same,
               "similarity": None if similarity is None else round(similarity, 4)}  # fmt: skip
    no_face = sorted(n for n, v in seen.items() if v is None)
    yield {"summary": verification_summary(pairs, similarities) | {"no_face": no_face}}


def verification_summary(
    pairs: Sequence[Pair], similarities: Sequence[float | None]
) -> dict[str, Any]:
    """Summarise; a pair without a face counts as wrong, whatever the threshold."""
    same = np.array(
        [s for p, s in zip(pairs, similarities, strict=True) if p.same and s is not None]
    )
    other = np.array([s for p, s in zip(pairs, similarities, strict=True)
                      if not p.same and s is not None])  # fmt: skip
    threshold, wrong = best_threshold(same, other)
    wrong += sum(s is None for s in similarities)
    summary: dict[str, Any] = {
        "pairs": len(pairs), "best_threshold": round(threshold, 4), "wrong": wrong,
        "accuracy": round(1 - wrong / max(len(pairs), 1), 4),
    }  # fmt: skip
    for name, values in (("genuine", same), ("impostor", other)):
        if len(values):
            summary |= {f"{name}_mean": round(float(values.mean()), 4),
                        f"{name}_min": round(float(values.min()), 4),
                        f"{name}_max": round(float(values.max()), 4)}  # fmt: skip
    return summary


def best_threshold(same: NDArray[np.floating], other: NDArray[np.floating]) -> tuple[float, int]:
    """Return the threshold with the fewest wrong pairs, in the middle of its gap, and the count."""
    values = np.unique(np.concatenate([same, other, [-1.0, 1.0]]))
    cuts = (values[1:] + values[:-1]) / 2
    wrong = [(same < c).sum() + (other >= c).sum() for c in cuts]
    best = int(np.argmin(wrong))
    return float(cuts[best]), int(wrong[best])


def judge_masks(looker: Looker, folder: Path) -> Iterator[dict[str, Any]]:
    """Name the mask state of every picture; folders `masked` and `unmasked` give the truth."""
    results: list[tuple[MaskName | None, float, MaskName | None]] = []
    for path in pictures_in(folder):
        face = looker.main_face(path)
        truth = _truth_of(path, folder)
        probability = 0.5 if face is None else face.mask_probability
        state = None if face is None else face.state
        results.append((state, probability, truth))
        yield {"file": str(path.relative_to(folder)), "state": state,
               "masked_probability": None if face is None else round(probability, 4),
               "truth": truth}  # fmt: skip
    yield {"summary": _mask_summary(results)}


def _truth_of(path: Path, folder: Path) -> MaskName | None:
    parts = {folder.name.lower(), *(p.lower() for p in path.relative_to(folder).parts[:-1])}
    if parts & {"unmasked", "without_mask", "no_mask"}:
        return "unmasked"
    return "masked" if parts & {"masked", "with_mask", "mask"} else None


def _mask_summary(results: Sequence[tuple[MaskName | None, float, MaskName | None]]
                  ) -> dict[str, Any]:  # fmt: skip
    summary: dict[str, Any] = {"pictures": len(results),
                               "no_face": sum(s is None for s, _, _ in results)}  # fmt: skip
    found = [(s, p, t) for s, p, t in results if s is not None]
    if found:
        summary["unsure"] = round(sum(s == "unsure" for s, _, _ in found) / len(found), 4)
    right = {
        truth: [(p >= 0.5) == (truth == "masked") for _, p, t in found if t == truth]
        for truth in ("masked", "unmasked")
    }
    shares = [float(np.mean(r)) for r in right.values() if r]
    if shares:
        summary |= {f"{k}_right": round(float(np.mean(r)), 4) for k, r in right.items() if r}
        summary["balanced_accuracy"] = round(float(np.mean(shares)), 4)
    return summary


def judge_strangers(looker: Looker, folder: Path) -> Iterator[dict[str, Any]]:
    """Compare all pictures, each of another person; yields quantiles raw and adapted."""
    faces: list[LookedAt] = []
    for path in pictures_in(folder):
        face = looker.main_face(path)
        yield {"file": str(path.relative_to(folder)),
               "state": None if face is None else face.state}  # fmt: skip
        if face is not None:
            faces.append(face)
    yield {"summary": {"pictures_with_a_face": len(faces), **_stranger_summary(looker, faces)}}


def _stranger_summary(looker: Looker, faces: Sequence[LookedAt]) -> dict[str, Any]:
    raw = np.array([f.raw for f in faces]).reshape(-1, 192)
    adapted = np.array([looker.adapted(f) for f in faces]).reshape(-1, 192)
    masked = np.array([f.mask_probability >= 0.5 for f in faces], bool)
    left, right = np.triu_indices(len(faces), 1)
    kinds = {
        "all": np.ones(len(left), bool),
        "unmasked-unmasked": ~masked[left] & ~masked[right],
        "masked-masked": masked[left] & masked[right],
        "masked-unmasked": masked[left] != masked[right],
    }
    return {
        kind: {
            name: _spread(np.sum(v[left[chosen]] * v[right[chosen]], axis=1))
            for name, v in (("raw", raw), ("adapted", adapted))
        }
        for kind, chosen in kinds.items()
        if chosen.any()
    }


def _spread(cosines: NDArray[np.floating]) -> dict[str, float]:
    values = {f"q{100 * q:g}": round(float(np.quantile(cosines, q)), 4) for q in QUANTILES}
    return {"pairs": len(cosines), "mean": round(float(cosines.mean()), 4),
            "sd": round(float(cosines.std()), 4), **values}  # fmt: skip
