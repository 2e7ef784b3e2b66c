"""What a stolen gallery tells: next to nothing as it is, too much once known pairs align it.

Targets that are not met are marked as such, strictly: when one is met its mark has to go. The
figures, and what follows from them, stand in docs/threat-model.md.
"""

from functools import lru_cache

import numpy as np
import pytest
from scipy.stats import t

from controller.adapters.vault import Vault
from controller.services.keys import KeyService
from controller.services.refusals import NotFound
from sim.privacy.evaluate import (
    TARGET,
    Outcome,
    attacked,
    inside_one_epoch,
    paired_attacks,
    thefts,
    unpaired_attacks,
)
from sim.privacy.galleries import FRAMES, Faces, Frame, PairKind, draw_faces, without_whitening
from sim.privacy.measure import auc
from tests.unit.controller.test_keys import CASE, TODAY, Bench
from wire.protection import dequantise

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
PEOPLE, PAIRS, DRAWS, KEYS_DESTROYED = 3_000, 200, 3, 64
KINDS: tuple[PairKind, ...] = ("exact", "seen")
INHERENT = "whatever keeps similarities inside an epoch falls to known pairs"


@lru_cache(maxsize=1)
def draws() -> list[Faces]:
    return [draw_faces(np.random.default_rng(n), PEOPLE, PAIRS, n) for n in range(DRAWS)]


@lru_cache(maxsize=16)
def tried(name: str, frame: Frame = "epochs", count: int = DRAWS) -> Outcome:
    known = {n: a for k in (50, 200) for kind in KINDS for n, a in paired_attacks(k, kind).items()}
    rng = np.random.default_rng(41)
    attack = (unpaired_attacks() | known)[name]
    found = attacked(name, attack, frame, thefts(draws(), frame, count, rng), rng)
    print(found)
    return found


@pytest.mark.parametrize("frame", FRAMES)
def test_templates_of_two_epochs_or_shards_cannot_be_linked_as_they_are(frame: Frame) -> None:
    found = tried("direct", frame, count=20)
    assert found.d_sys_mean <= TARGET
    assert found.auc_mean_low <= 0.5 <= found.auc_mean_high


def test_inside_an_epoch_similarity_is_unchanged_to_a_thousandth() -> None:
    found = inside_one_epoch(draws()[0], bytes(range(32)))
    print(found)
    assert found["rms"] <= 1e-3
    assert abs(found["bias"]) <= 1e-4
    assert found["auc_protected"] == pytest.approx(found["auc_plain"], abs=1e-3)
    # One pair in a thousand is off by more than two thousandths: the price of int8.
    assert found["quantile_999"] <= 3e-3


@pytest.mark.parametrize("name", ["mean", "pca", "procrustes-0"])
def test_without_a_known_pair_few_can_be_told_apart(name: str) -> None:
    # What holds today; the target of 0.05 is not met on every draw of people (see the document).
    assert tried(name).d_sys_max <= 0.3


@pytest.mark.xfail(reason="the adapted spread is not flat, so its axes can be found", strict=True)
def test_target_after_laying_principal_axes_on_each_other() -> None:
    assert tried("pca").d_sys_mean <= TARGET


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pairs", [50, 200])
@pytest.mark.xfail(reason=INHERENT, strict=True)
def test_target_after_procrustes_with_known_pairs(pairs: int, kind: PairKind) -> None:
    assert tried(f"procrustes-{pairs}-{kind}", count=1).d_sys_mean <= TARGET


def test_an_attacker_with_fifty_known_pairs_links_nearly_everybody() -> None:
    # Said as loudly as the targets: this is why known pairs must not come together with galleries.
    found = tried("procrustes-50-exact", count=1)
    assert found.d_sys_mean > 0.8


def test_whitening_is_what_keeps_axes_from_being_laid_on_each_other() -> None:
    rng = np.random.default_rng(43)
    raw = [without_whitening(faces) for faces in draws()]
    with_it = tried("pca")
    without = attacked(
        "pca", unpaired_attacks()["pca"], "epochs", thefts(raw, "epochs", DRAWS, rng), rng
    )
    print(without)
    assert without.d_sys_mean > 1.5 * with_it.d_sys_mean


def test_after_the_keys_destruction_a_stolen_day_matches_no_better_than_chance() -> None:
    faces, areas = draw_faces(np.random.default_rng(9), 1_000, 0, 9), []
    for number in range(KEYS_DESTROYED):
        stolen = _a_day_whose_key_is_gone(faces, number)
        # The thief has the photo's embedding, and no key in the world turns it any more.
        cosines = (stolen * faces.second).sum(1), (stolen * np.roll(faces.second, 1, 0)).sum(1)
        areas.append(auc(*cosines)[0])
    # Keys are the sample: a rotation and its opposite are as likely, so under single keys the
    # area is off a half to either side. 99 %, as a fixed seed gives one trial only.
    half = float(t.ppf(0.995, len(areas) - 1) * np.std(areas, ddof=1) / np.sqrt(len(areas)))
    print(f"AUC {np.mean(areas):.4f} +/- {half:.4f}, single keys {min(areas):.3f}-{max(areas):.3f}")
    assert abs(np.mean(areas) - 0.5) <= half
    assert half < 0.03


class SeededVault(Vault):
    """A vault whose new keys are the same in every run, so that the interval is too."""

    def __init__(self, seed: int) -> None:
        super().__init__(bytes([seed]) * 32)
        self._rng = np.random.default_rng(seed)

    def new_key(self) -> bytes:  # type: ignore[override]
        return self._rng.bytes(32)


def _a_day_whose_key_is_gone(faces: Faces, number: int) -> np.ndarray:
    bench = Bench()
    service = KeyService(
        bench.store, Vault(bytes([number]) * 32), bench.guard, lambda: bench.now_us
    )
    bench.store.held.clear()
    service.ensure_epochs()
    stolen = dequantise(service.rotate_probe(CASE, faces.first, epoch=TODAY - 1, shard=3))
    service.destroy(TODAY - 1)
    with pytest.raises(NotFound, match="past retention"):
        service.rotate_probe(CASE, faces.second, epoch=TODAY - 1, shard=3)
    return stolen
