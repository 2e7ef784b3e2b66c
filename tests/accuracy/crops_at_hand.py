"""Aligned face crops that are not part of the project: where they are, or a loud skip."""

import os
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from tools.models import crops as c
from tools.models.people import held_out, one_each, people_of

VARIABLE = "SIGHTLINE_MASK_FACES"
BESIDE = Path(__file__).parents[3] / "shared" / "data" / "mask-faces"
SEED, SHARE = 20_261_101, 0.25


def folder() -> Path:
    """Return the folder with masked/ and unmasked/; skips the test where there is none."""
    found = Path(os.environ.get(VARIABLE, BESIDE))
    if not (found / "masked").is_dir() or not (found / "unmasked").is_dir():
        pytest.skip(
            f"NOT MEASURED: no aligned crops at hand; set {VARIABLE} to a folder with masked/ and "
            "unmasked/ to check the stored floors for strangers and masks"
        )
    return found


@lru_cache(maxsize=1)
def crops() -> dict[str, c.U8]:
    """Read all crops by mask state."""
    return {k: c.read_crops(folder() / k)[0] for k in ("masked", "unmasked")}


@lru_cache(maxsize=1)
def people() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return, by mask state: crops of the people left out of training; one crop each of them."""
    images = crops()
    groups = people_of(np.concatenate([images["masked"], images["unmasked"]]))
    out, first = held_out(groups, share=SHARE, seed=SEED), one_each(groups)
    split = len(images["masked"])
    return (
        {"masked": out[:split], "unmasked": out[split:]},
        {"masked": (out & first)[:split], "unmasked": (out & first)[split:]},
    )
