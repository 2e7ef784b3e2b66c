"""What a thief of protected templates learns, with each attack run: `make bench BENCH=privacy`."""

from collections.abc import Callable, Sequence

import numpy as np

from sim.privacy.evaluate import attacked, measure, paired_attacks, thefts, unpaired_attacks
from sim.privacy.galleries import FRAMES, Faces, draw_faces, without_whitening
from tests.bench.privacy_faces import real_faces

ROWS = (500, 2_000, 8_000, 32_000)
GROWING = ("mean", "pca", "procrustes-0")
DRAWS = 4
Draw = Callable[[np.random.Generator, int], Faces]


def privacy(people: int = 4_000) -> dict[str, object]:
    """Measure all attacks; those without pairs by number of rows and without whitening too."""
    found = measure(people=people, draws=DRAWS, seed=17, frames=FRAMES, direct_thefts=40)
    return {
        **found,
        "d_sys_by_rows": {
            rows: _unpaired([draw_faces(np.random.default_rng(n), rows, 0, n) for n in range(3)])
            for rows in ROWS
        },
        "d_sys_without_whitening": _unpaired(
            [without_whitening(draw_faces(np.random.default_rng(n), people, 0, n))
             for n in range(DRAWS)]
        ),
        "real_faces": _real(),
    }  # fmt: skip


def _unpaired(draws: Sequence[Faces]) -> dict[str, list[float]]:
    """Return the lowest, middle and highest D_sys of the draws, by attack."""
    rng = np.random.default_rng(29)
    stolen = list(thefts(draws, "epochs", len(draws), rng))
    found = {}
    for name, attack in unpaired_attacks().items():
        if name in GROWING:
            each = sorted(attacked(name, attack, "epochs", [t], rng).d_sys_mean for t in stolen)
            found[name] = [each[0], float(np.median(each)), each[-1]]
    return found


def _real() -> dict[str, object] | str:
    """Attack the embeddings of real pictures, if there are any at hand."""
    found = real_faces()
    if found is None:
        return "not measured: no aligned crops at hand"
    told: dict[str, object] = {}
    for name, faces in found.items():
        rng = np.random.default_rng(31)
        stolen = list(thefts([faces], "epochs", 6, rng))
        attacks = unpaired_attacks()
        for count in (5, 50, 200):
            attacks |= paired_attacks(count, "seen")
        told[name] = {"people": len(faces.first)} | {
            attack: attacked(attack, how, "epochs", stolen, rng).d_sys_mean
            for attack, how in attacks.items()
        }
    return told
