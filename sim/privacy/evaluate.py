"""The whole measurement: every attack in every frame under several keys, and what holds."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sim.privacy import attacks as atk
from sim.privacy.galleries import F32, Faces, Frame, PairKind, Theft, draw_faces, steal
from sim.privacy.measure import Linkability, auc, linkability
from wire.protection import dequantise, derive_shard_key, protect

TARGET: Final = 0.05
"""D_sys that the project wants to stay below after every attack."""
OTHERS_PER_PERSON: Final = 8
KNOWN_PAIRS: Final = (0, 50, 200)
BREAKING: Final = (1, 2, 3, 5, 10, 20, 50, 100, 200)
MAX_PAIRS: Final = 200

Map = NDArray[np.float64]
Attack = Callable[[Theft], Map]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One attack in one frame: D_sys over several thefts, its floor by chance, and AUC.

    Each theft has keys and people of its own. `meets_target` judges the mean; under single keys a
    person's mean score is off zero by chance, to a side that nobody knows without pairs.
    """

    frame: str
    attack: str
    thefts: int
    d_sys_mean: float
    d_sys_max: float
    chance_mean: float
    chance_95: float
    auc_mean: float
    auc_mean_low: float
    auc_mean_high: float
    meets_target: bool


def unpaired_attacks() -> dict[str, Attack]:
    """Return the attacks that need nothing but two galleries."""
    return {
        "direct": lambda theft: np.eye(theft.a.shape[1]),
        "mean": lambda theft: atk.mean_alignment(theft.a, theft.b),
        "pca": lambda theft: atk.pca_alignment(theft.a, theft.b),
        "procrustes-0": lambda theft: atk.refined(
            theft.a, theft.b, atk.pca_alignment(theft.a, theft.b)
        ),
    }


def paired_attacks(count: int, kind: PairKind) -> dict[str, Attack]:
    """Return the attacks that use `count` known pairs of a kind."""

    def solved(theft: Theft) -> Map:
        return atk.procrustes(*theft.pairs(kind, count))

    def profile(theft: Theft) -> Map:
        return atk.likeness_to_known(*theft.pairs(kind, count))

    def signs(theft: Theft) -> Map:
        return atk.pca_with_pairs(theft.a, theft.b, *theft.pairs(kind, count))

    def grown(theft: Theft) -> Map:
        return atk.refined(theft.a, theft.b, solved(theft), *theft.pairs(kind, count))

    return {
        f"procrustes-{count}-{kind}": solved, f"profile-{count}-{kind}": profile,
        f"pca-signs-{count}-{kind}": signs, f"procrustes-{count}-{kind}-grown": grown,
    }  # fmt: skip


def thefts(
    draws: Sequence[Faces], frame: Frame, count: int, rng: np.random.Generator
) -> Iterable[Theft]:
    """Yield `count` thefts, each under fresh keys and of the next draw of people.

    Principal axes turn with the rotation, so keys alone would repeat one experiment: whether they
    can be told apart is a matter of the people.
    """
    for number in range(count):
        yield steal(draws[number % len(draws)], frame, (rng.bytes(32), rng.bytes(32)))


def scores(theft: Theft, turned: Map, rng: np.random.Generator) -> tuple[F32, F32]:
    """Return cosines (n,) of each person with themselves, and (8 n,) with others, after a map."""
    moved = np.asarray(theft.a @ turned, np.float32)
    moved /= np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-9)
    mated = (moved * theft.b).sum(1)
    steps = rng.choice(np.arange(1, len(moved)), OTHERS_PER_PERSON, replace=False)
    others = [(moved * np.roll(theft.b, int(step), axis=0)).sum(1) for step in steps]
    return mated, np.concatenate(others)


def attacked(
    name: str, attack: Attack, frame: str, stolen: Iterable[Theft], rng: np.random.Generator
) -> Outcome:
    """Run one attack on several thefts."""
    found = [linkability(*scores(theft, attack(theft), rng), rng) for theft in stolen]
    return _outcome(frame, name, found)


def breaking_point(
    stolen: Sequence[Theft], kind: PairKind, rng: np.random.Generator
) -> Mapping[int, float]:
    """Return mean D_sys of plain Procrustes by number of known pairs, up to where it is solved."""
    return {
        count: attacked(
            "", paired_attacks(count, kind)[f"procrustes-{count}-{kind}"], "epochs", stolen, rng
        ).d_sys_mean
        for count in BREAKING
    }


def inside_one_epoch(faces: Faces, key: bytes) -> dict[str, float]:
    """Return how far protection and int8 move the cosine of two embeddings, and both AUCs."""
    own = derive_shard_key(key, epoch=20_000, shard=3)
    before = Theft(faces.first, faces.second, *[faces.first[:0]] * 4)
    rows = (dequantise(protect(part, own)) for part in (faces.first, faces.second))
    after = Theft(*rows, *[faces.first[:0]] * 4)
    turned = np.eye(before.a.shape[1])
    plain, kept = (scores(t, turned, np.random.default_rng(0)) for t in (before, after))
    moved = np.abs(np.concatenate(kept) - np.concatenate(plain))
    return {
        "mean_abs": float(moved.mean()), "rms": float(np.sqrt((moved**2).mean())),
        "bias": float((np.concatenate(kept) - np.concatenate(plain)).mean()),
        "quantile_999": float(np.quantile(moved, 0.999)), "max": float(moved.max()),
        "within_1e_3": float((moved <= 1e-3).mean()),
        "auc_plain": auc(*plain)[0], "auc_protected": auc(*kept)[0],
    }  # fmt: skip


def measure(
    *, people: int, draws: int, seed: int, frames: Sequence[Frame], direct_thefts: int
) -> dict[str, object]:
    """Measure everything on several draws of `people` invented people, each under fresh keys."""
    rng = np.random.default_rng(seed)
    faces = [draw_faces(rng, people, MAX_PAIRS, seed + number) for number in range(draws)]
    outcomes = [
        outcome
        for frame in frames
        for outcome in every_attack(faces, frame, rng, direct_thefts=direct_thefts)
    ]
    stolen = list(thefts(faces, "epochs", draws, rng))
    return {
        "people": people, "draws": draws, "target": TARGET,
        "attacks": [asdict(outcome) for outcome in outcomes],
        "d_sys_by_known_pairs": {
            "exact": dict(breaking_point(stolen, "exact", rng)),
            "seen": dict(breaking_point(stolen, "seen", rng)),
        },
        "inside_one_epoch": inside_one_epoch(faces[0], rng.bytes(32)),
    }  # fmt: skip


def every_attack(
    draws: Sequence[Faces], frame: Frame, rng: np.random.Generator, *, direct_thefts: int
) -> Iterable[Outcome]:
    """Yield the outcome of each attack in one frame; the direct one on more thefts."""
    stolen = list(thefts(draws, frame, len(draws), rng))
    attacks = unpaired_attacks()
    direct = attacks.pop("direct")
    yield attacked("direct", direct, frame, thefts(draws, frame, direct_thefts, rng), rng)
    for count in KNOWN_PAIRS[1:]:
        for kind in ("exact", "seen"):
            attacks |= paired_attacks(count, kind)
    for name, attack in attacks.items():
        yield attacked(name, attack, frame, stolen, rng)


def _outcome(frame: str, name: str, found: Sequence[Linkability]) -> Outcome:
    measured = np.array([one.d_sys for one in found])
    areas = np.array([one.auc for one in found])
    # The spread between thefts where there are several, else the one theft's own interval.
    half = found[0].auc_high - found[0].auc
    if len(areas) > 1:
        half = 1.96 * float(areas.std(ddof=1) / np.sqrt(len(areas)))
    return Outcome(
        frame, name, len(found), float(measured.mean()), float(measured.max()),
        float(np.mean([one.chance for one in found])), max(one.chance_95 for one in found),
        float(areas.mean()), float(areas.mean()) - half, float(areas.mean()) + half,
        bool(measured.mean() <= TARGET),
    )  # fmt: skip
