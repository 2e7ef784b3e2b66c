"""What the search index keeps of a sighting beside its template: 27 bytes, and how to read them."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from controller.domain.candidates import MASK_STATES
from controller.services.ports import GalleryRow

FACTS: Final = np.dtype(
    [
        ("id", "V16"),
        ("start_ms", "<i4"),  # since the epoch's midnight, clock corrected
        ("dwell_s", "<f2"),
        ("camera", "<u2"),  # place in the segment's list of cameras
        ("quality", "u1"),  # in 255ths
        ("uncertainty", "u1"),  # logarithmic, see `uncertainty_code`
        ("state", "u1"),  # mask state in two bits, variant in six
    ]
)
MAX_VARIANTS: Final = 64
DAY_US: Final = 86_400_000_000
_FIRST_S: Final = 1e-3
_STEP: Final = 1.1
_LONGEST_DWELL_S: Final = 60_000.0


def uncertainty_code(seconds: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return codes of at least these uncertainties: steps of 10 % from 1 ms to over a year."""
    steps = np.log(np.maximum(seconds, _FIRST_S) / _FIRST_S) / np.log(_STEP)
    return np.asarray(np.clip(np.ceil(steps - 1e-9), 0, 255), np.uint8)


def uncertainty_s(codes: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the uncertainties in seconds that codes stand for."""
    return np.asarray(_FIRST_S * _STEP ** codes.astype(np.float64), np.float64)


def facts_of(
    rows: Sequence[GalleryRow], cameras: NDArray[np.uint16], variants: NDArray[np.uint8]
) -> NDArray[np.void]:
    """Return the facts of rows of one segment; `cameras`, `variants`: places in its lists."""
    facts = np.zeros(len(rows), FACTS)
    facts["id"] = np.frombuffer(b"".join(row.id.bytes for row in rows), "V16")
    midnight_us = rows[0].epoch * DAY_US
    offsets_us = np.array([row.clock_offset_s for row in rows]) * 1e6
    starts_us = np.array([row.start_us - midnight_us for row in rows]) + offsets_us
    facts["start_ms"] = np.clip(np.floor(starts_us / 1e3), -(2**31), 2**31 - 1)
    dwell_s = np.array([(row.end_us - row.start_us) / 1e6 for row in rows])
    facts["dwell_s"] = np.minimum(dwell_s, _LONGEST_DWELL_S)
    facts["camera"] = cameras
    facts["quality"] = np.rint(np.array([row.quality for row in rows]) * 255)
    # Rounding to milliseconds and half precision is part of what is not known.
    rounding_s = 2e-3 + dwell_s / 2048
    uncertain = np.array([row.time_uncertainty_s for row in rows]) + rounding_s
    facts["uncertainty"] = uncertainty_code(uncertain)
    masks = np.array([mask_code(row.mask_state) for row in rows], np.uint8)
    facts["state"] = masks | (variants << 2)
    return facts


def mask_code(state: str) -> int:
    """Return the two-bit code of a mask state; an unknown one counts as unsure."""
    return MASK_STATES.index(state) if state in MASK_STATES else MASK_STATES.index("unsure")
