"""Embeddings of real pictures, each seen twice as two far cameras would see it."""

import os
from pathlib import Path
from typing import Final

import numpy as np

from agent.models.pack import load_pack
from agent.models.runtime import load_network
from agent.vision.adaptation import FaceStatistics, learn_adaptation
from sim.privacy.galleries import F32, Faces
from tests.accuracy.crops_at_hand import BESIDE, VARIABLE
from tools.models import adapt
from tools.models import crops as c
from tools.models.people import EMBEDDER, one_each, people_of

PAIRS: Final = 200
LEARNED_ON: Final = 400
"""People whom the whitening of "adapted_unseen" is learned on; they are not attacked."""


def real_faces() -> dict[str, Faces] | None:
    """Return faces as the network gives them and adapted, or None where no pictures are at hand.

    "adapted": with the pack's whitening, which was learned on these people among others;
    "adapted_unseen": with one that never saw them.
    """
    folder = Path(os.environ.get(VARIABLE, BESIDE)) / "unmasked"
    if not folder.is_dir():
        return None
    crops = c.read_crops(folder)[0]
    crops = crops[one_each(people_of(crops))]
    rng = np.random.default_rng(5)
    # The files' order must not decide who is learned on and who is attacked.
    crops = crops[rng.permutation(len(crops))]
    first, second = _seen(crops, rng), _seen(crops, rng)
    cohort = load_pack().cohort()
    unseen = learn_adaptation(
        FaceStatistics.of(first[:LEARNED_ON]), cohort.masked, cohort.mask_scatter
    )
    packaged = cohort.adaptation()
    return {
        "raw": _split(first, second),
        "adapted": _split(*(packaged.apply(rows, "unmasked") for rows in (first, second))),
        "adapted_unseen": _split(
            *(unseen.apply(rows[LEARNED_ON:], "unmasked") for rows in (first, second))
        ),
    }


def _seen(crops: c.U8, rng: np.random.Generator) -> F32:
    return adapt.embed_crops(load_network(EMBEDDER), [c.degrade(crop, rng) for crop in crops])


def _split(first: F32, second: F32) -> Faces:
    return Faces(first[PAIRS:], second[PAIRS:], first[:PAIRS], second[:PAIRS])
