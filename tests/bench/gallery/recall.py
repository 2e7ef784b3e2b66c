"""How many of the rows above a cosine the prefilter keeps, on real embeddings, masked ones too.

Every face is once the probe and once the row of every other, under rotations of several shard
keys; templates are quantised as they are stored. A pair counts by its exact cosine.

`python -m tests.bench.gallery.recall FILE.npz` prints the curve for (n, 192) arrays `masked` and
`unmasked` of raw embeddings, one row a person; no such file is part of this project.
"""

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.models.pack import load_pack
from controller.domain.prefilter import HEAVY, TOP, bit_planes, probe_codes, probe_levels
from wire.protection import dequantise, quantise, rotation

F32 = NDArray[np.float32]
THRESHOLDS = (0.35, 0.40, 0.45, 0.50, 0.55, 0.65)


@dataclass(frozen=True)
class Recall:
    """Pairs at or above a cosine, the share kept, and what else came through."""

    pair: str
    min_similarity: float
    above: int
    recall: float
    strangers_passed: float


def passes(probe: F32, rows: NDArray[np.int8], least: float) -> NDArray[np.bool_]:
    """Tell which int8 rows (n, 192) both looks let through for a unit probe (192,)."""
    codes = probe_codes(probe[None], np.array([least], np.float32))
    differ = bit_planes(rows >= 0) ^ codes.signs[0]
    plain = np.bitwise_count(differ).sum(1).astype(int)
    large = np.bitwise_count(differ & codes.heavy[0]).sum(1).astype(int)
    first = plain + (HEAVY - 1) * large <= int(codes.limits[0])
    coded = np.where(np.abs(rows.astype(np.int16)) >= TOP, 3.0, 1.0) * np.where(rows >= 0, 1, -1)
    product = coded @ (probe_levels(probe[None])[0] * np.sign(probe))
    return np.asarray(first & (product / np.linalg.norm(coded, axis=1) >= codes.least[0]))


def recall_curve(
    groups: Mapping[str, F32], thresholds: tuple[float, ...], *, probes: int, keys: int, seed: int
) -> list[Recall]:
    """Measure all pairs of groups (adapted unit embeddings by mask state) at all thresholds."""
    rng = np.random.default_rng(seed)
    found = []
    names = sorted(groups)
    for a, b in [(x, y) for i, x in enumerate(names) for y in names[i:]]:
        kept = dict.fromkeys(thresholds, 0)
        above = dict.fromkeys(thresholds, 0)
        through = dict.fromkeys(thresholds, 0)
        pairs = 0
        for number in range(keys):
            matrix = rotation(hashlib.sha256(f"{seed}/{number}".encode()).digest())
            rows = quantise(groups[b] @ matrix.T)
            exact_rows = dequantise(rows)
            chosen = rng.choice(len(groups[a]), min(probes, len(groups[a])), replace=False)
            for i in chosen:
                probe = np.asarray(groups[a][i] @ matrix.T, np.float32)
                exact = exact_rows @ probe
                other = np.arange(len(rows)) != i if a == b else np.ones(len(rows), bool)
                pairs += int(other.sum())
                for least in thresholds:
                    through_now = passes(probe, rows, least) & other
                    wanted = (exact >= least) & other
                    above[least] += int(wanted.sum())
                    kept[least] += int((wanted & through_now).sum())
                    through[least] += int((through_now & ~wanted).sum())
        found += [
            Recall(f"{a}-{b}", t, above[t], kept[t] / max(above[t], 1), through[t] / pairs)
            for t in thresholds
        ]
    return found


def main() -> None:
    """Adapt the embeddings of a file as a box does, and print one line per pair and cosine."""
    adaptation = load_pack().adaptation()
    with np.load(sys.argv[1]) as raw:
        groups = {
            name: np.asarray(
                adaptation.apply(raw[name] / np.linalg.norm(raw[name], axis=1)[:, None], name),
                np.float32,
            )
            for name in ("masked", "unmasked")
        }
    for one in recall_curve(groups, THRESHOLDS, probes=200, keys=4, seed=1):
        print(f"{one.pair} {one.min_similarity:.2f}: {one.above} pairs above, kept "
              f"{one.recall:.4%}, others through {one.strangers_passed:.2%}")  # fmt: skip


if __name__ == "__main__":
    main()
