"""Stored floors on pictures of many people; skipped loudly where those are not at hand."""

import cv2
import numpy as np
import pytest

from agent.models.pack import load_pack
from agent.models.runtime import load_network
from agent.vision.build import VisionSettings, build_masks
from agent.vision.faces import MaskClassifier
from agent.vision.tracklets import mask_name
from agent.vision.types import MaskName
from tests.accuracy.crops_at_hand import SEED, crops, people
from tools.models import adapt
from tools.models import crops as c

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
PACK = load_pack()
STATES: tuple[MaskName, MaskName] = ("masked", "unmasked")
STRANGERS_BELOW = {"unmasked": 0.47, "masked": 0.48}
BALANCED_ABOVE = {90: 0.985, 28: 0.98}
UNSURE_BELOW = 0.05
# A crop is 160 px with landmarks where the training frame has them.
LANDMARKS = c.LANDMARKS.astype(np.float32)


def probabilities(masks: MaskClassifier, images: c.U8, face_px: int) -> np.ndarray:
    small = [c.at_face_size(i, face_px=face_px) if face_px < 90 else i for i in images]
    return np.array([masks.probability(i, LANDMARKS) for i in small])


@pytest.mark.parametrize("face_px", sorted(BALANCED_ABOVE))
def test_masks_are_told_on_people_whom_training_never_saw(face_px: int) -> None:
    out, _ = people()
    masks = build_masks(PACK, VisionSettings())
    found = {k: probabilities(masks, crops()[k][out[k]], face_px) for k in STATES}
    right = [(found["masked"] >= 0.5).mean(), (found["unmasked"] < 0.5).mean()]
    unsure = np.mean([mask_name(p) == "unsure" for v in found.values() for p in v])
    print(f"{face_px} px: balanced {np.mean(right):.4f} {right}, unsure {unsure:.4f}")
    assert np.mean(right) >= BALANCED_ABOVE[face_px]
    assert unsure <= UNSURE_BELOW


def test_strangers_lie_apart_with_an_adaptation_that_never_saw_them() -> None:
    out, one = people()
    network = load_network(PACK.path("embedder", "float"))
    raw = {k: adapt.embed_crops(network, crops()[k]) for k in STATES}
    learned = adapt.learn_cohort(
        {k: v[~out[k]] for k, v in raw.items()}, crops()["unmasked"][~out["unmasked"]],
        network, seed=SEED,
    )  # fmt: skip
    adaptation = learned.adaptation()
    for state in STATES:
        vectors = adaptation.apply(raw[state][one[state]], state)
        tail = float(np.quantile(adapt.stranger_similarities(vectors), 0.999))
        print(f"{state}: {len(vectors)} people, 99.9 % of strangers below {tail:.3f}")
        assert tail <= STRANGERS_BELOW[state]


def test_a_weaker_embedder_still_recognises_the_same_face() -> None:
    _, one = people()
    images = crops()["unmasked"][one["unmasked"]][:120]
    adaptation = PACK.adaptation()
    vectors = {
        v: adaptation.apply(
            adapt.embed_crops(load_network(PACK.path("embedder", v)), images), "unmasked"
        )
        for v in ("float", "int8", "onnx")
    }
    blurred = [cv2.GaussianBlur(i, (0, 0), 1.0) for i in images]
    genuine = {
        v: np.sum(vectors["float"] * adaptation.apply(adapt.embed_crops(
            load_network(PACK.path("embedder", v)), blurred), "unmasked"), axis=1).mean()
        for v in vectors
    }  # fmt: skip
    print({k: round(float(v), 4) for k, v in genuine.items()})
    for variant in ("int8", "onnx"):
        assert abs(genuine[variant] - genuine["float"]) <= 0.02
        assert np.sum(vectors[variant] * vectors["float"], axis=1).mean() >= 0.99
