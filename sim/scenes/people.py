"""Who is in a scene: statures, seats, masks, faces, and how they look to an embedder."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from controller.domain.match import Calibration

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

DIMENSION: Final = 192
EFFECTIVE: Final = 53
"""Dimensions in which faces differ: strangers' cosines then spread by 0.137, as measured."""
CHILDREN: Final = 0.08
FACE_BELOW_TOP_M: Final = 0.11
MEN_M, WOMEN_M, CHILDREN_M = (1.725, 0.060), (1.600, 0.056), (1.36, 0.12)
"""Mean and spread of stature with shoes left out; Size Korea, 8th survey, 2020-23, rounded."""
SHOES_M: Final = 0.025
SEATED_DROP_M: Final = (0.36, 0.04)
MASKED_SHARE: Final = 0.6
CALIBRATION: Final = Calibration.from_mapping(
    {
        "unmasked-unmasked": {
            "impostor_mean": 0.0, "impostor_sd": 0.137, "genuine_mean": 0.729, "genuine_sd": 0.158,
        },
        "masked-masked": {
            "impostor_mean": 0.0, "impostor_sd": 0.140, "genuine_mean": 0.719, "genuine_sd": 0.174,
        },
        "masked-unmasked": {
            "impostor_mean": 0.0, "impostor_sd": 0.132, "genuine_mean": 0.346, "genuine_sd": 0.164,
        },
    }
)  # fmt: skip
"""As the model pack measures it (docs/models.md), strangers' means rounded to nought."""
LIKENESS: Final = (0.725, 0.2)
ACROSS_MASKS: Final = 0.477


@dataclass(frozen=True, slots=True)
class Someone:
    """One person: height of the face's centre standing, seated drop, mask, and two faces."""

    standing_m: float
    drop_m: float
    masked: bool
    faces: F64

    def template(self, masked: bool, rng: np.random.Generator) -> F32:
        """Draw one tracklet's template: more or less like the face, with or without a mask."""
        share = float(np.clip(rng.normal(*LIKENESS), 0.2, 0.97))
        mixed = np.sqrt(share) * self.faces[int(masked)] + np.sqrt(1 - share) * _direction(rng)
        full = np.zeros(DIMENSION)
        full[:EFFECTIVE] = mixed / np.linalg.norm(mixed)
        return full.astype(np.float32)


def draw_someone(rng: np.random.Generator) -> Someone:
    """Draw a person of a city: men, women and some children."""
    child = rng.random() < CHILDREN
    stature = rng.normal(*(CHILDREN_M if child else MEN_M if rng.random() < 0.5 else WOMEN_M))
    bare = _direction(rng)
    masked = ACROSS_MASKS * bare + np.sqrt(1 - ACROSS_MASKS**2) * _direction(rng)
    return Someone(
        standing_m=float(np.clip(stature, 0.95, 2.1)) + SHOES_M - FACE_BELOW_TOP_M,
        drop_m=float(rng.normal(*SEATED_DROP_M)) * (0.8 if child else 1.0),
        masked=bool(rng.random() < MASKED_SHARE),
        faces=np.stack([bare, masked / np.linalg.norm(masked)]),
    )


def _direction(rng: np.random.Generator) -> F64:
    raw = rng.standard_normal(EFFECTIVE)
    return np.asarray(raw / np.linalg.norm(raw))
