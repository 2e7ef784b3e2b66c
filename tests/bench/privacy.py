"""What a thief of protected templates learns, with each attack run: `make bench BENCH=privacy`."""

import numpy as np

from sim.privacy.evaluate import attacked, draw_faces, measure, thefts, unpaired_attacks
from sim.privacy.galleries import FRAMES, without_whitening

ROWS = (500, 2_000, 8_000)


def privacy(people: int = 4_000, keys: int = 4, direct_keys: int = 40) -> dict[str, object]:
    """Measure all attacks, how the unpaired ones grow with rows, and the same unwhitened."""
    found = measure(people=people, keys=keys, seed=17, frames=FRAMES, direct_keys=direct_keys)
    return {**found, "d_sys_by_rows": _by_rows(), "d_sys_without_whitening": _unwhitened(people)}


def _by_rows() -> dict[str, dict[int, float]]:
    rng = np.random.default_rng(23)
    faces = {rows: draw_faces(rng, rows, 0, 23) for rows in ROWS}
    return {
        name: {
            rows: attacked(name, attack, "epochs", list(thefts(faces[rows], "epochs", 2, rng)),
                           rng).d_sys_mean
            for rows in ROWS
        }
        for name, attack in unpaired_attacks().items()
        if name in ("mean", "pca", "procrustes-0")
    }  # fmt: skip


def _unwhitened(people: int) -> dict[str, float]:
    rng = np.random.default_rng(29)
    stolen = list(thefts(without_whitening(draw_faces(rng, people, 0, 29)), "epochs", 2, rng))
    return {
        name: attacked(name, attack, "epochs", stolen, rng).d_sys_mean
        for name, attack in unpaired_attacks().items()
    }
