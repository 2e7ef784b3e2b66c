"""A template's 192 int8 components in three places, so that a search reads what it needs.

`planes` (n, 2, 3) uint64: the sign of each component, and whether its magnitude reaches 64.
`rest` (n, 144) uint8: the other six bits of each magnitude, four components in three bytes.
Together 192 bytes, none of them twice.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from controller.domain.prefilter import TOP, WORDS, bit_planes

DIMENSION: Final = 192
QUARTER: Final = DIMENSION // 4
PLANES: Final = 2
REST_BYTES: Final = 3 * QUARTER
U64 = NDArray[np.uint64]
U8 = NDArray[np.uint8]
I8 = NDArray[np.int8]


def pack(templates: I8) -> tuple[U64, U8]:
    """Return planes (n, 2, 3) and rest (n, 144) of (n, 192) templates; -128 counts as -127."""
    wide = templates.astype(np.int16)
    magnitude = np.minimum(np.abs(wide), 127)
    planes = np.stack([bit_planes(wide >= 0), bit_planes(magnitude >= TOP)], axis=1)
    low = (magnitude % TOP).astype(np.uint8).reshape(-1, 4, QUARTER)
    last = low[:, 3]
    thirds = [low[:, k] | (last >> np.uint8(2 * k) & np.uint8(3)) << np.uint8(6) for k in range(3)]
    return planes, np.concatenate(thirds, axis=1)


def unpack(planes: U64, rest: U8) -> I8:
    """Return the (n, 192) templates that `pack` took apart."""
    thirds = rest.reshape(-1, 3, QUARTER)
    low = np.empty((len(rest), 4, QUARTER), np.int16)
    low[:, :3] = thirds & np.uint8(63)
    high = (thirds >> np.uint8(6)).astype(np.int16)
    low[:, 3] = high[:, 0] | high[:, 1] << 2 | high[:, 2] << 4
    bits = np.unpackbits(
        np.ascontiguousarray(planes).view(np.uint8).reshape(-1, PLANES, WORDS * 8),
        axis=-1, bitorder="little",
    )  # fmt: skip
    magnitude = low.reshape(-1, DIMENSION) + TOP * bits[:, 1].astype(np.int16)
    return np.where(bits[:, 0] == 1, magnitude, -magnitude).astype(np.int8)
