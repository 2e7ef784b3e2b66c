"""The scan itself, compiled: sign codes first, exact cosines of what passes, without the GIL.

Per row and probe the prefilter costs six popcounts, which the compiler turns into vector
instructions; only rows that pass touch their 192-byte template.
"""

from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

BLOCK: Final = 1024
"""Rows per block of sign codes; inside a block the codes lie word by word, (3, 1024)."""
MAX_PROBES: Final = 64
STATE_BITS: Final = 3
"""The low two bits of a row's `state` say its mask state (see `records`)."""


@intrinsic
def _popcount(_context: Any, _word: Any) -> Any:
    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ir.IntType(64), [ir.IntType(64)])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.ctpop.i64")
        return builder.call(function, arguments)

    return types.uint64(types.uint64), generate


@njit(nogil=True, cache=True)
def _prefilter(block: Any, signs: Any, heavy: Any, limits: Any, hits: Any) -> None:
    hits[:] = 0
    for p in range(signs.shape[0]):
        q0, q1, q2 = signs[p, 0], signs[p, 1], signs[p, 2]
        h0, h1, h2 = heavy[p, 0], heavy[p, 1], heavy[p, 2]
        bit = np.uint64(1) << np.uint64(p)
        for i in range(block.shape[1]):
            x, y, z = block[0, i] ^ q0, block[1, i] ^ q1, block[2, i] ^ q2
            plain = _popcount(x) + _popcount(y) + _popcount(z)
            large = _popcount(x & h0) + _popcount(y & h1) + _popcount(z & h2)
            near = plain + large * np.uint64(2) <= limits[p]
            hits[i] |= bit if near else np.uint64(0)


@njit(nogil=True, cache=True, fastmath=True)
def _norm(template: Any) -> Any:
    square = np.int32(0)
    for d in range(template.shape[0]):
        square += np.int32(template[d]) * np.int32(template[d])
    return np.sqrt(np.float32(square) + np.float32(1e-6))


@njit(nogil=True, cache=True, fastmath=True)
def _dot(template: Any, probe: Any) -> Any:
    total = np.float32(0)
    for d in range(template.shape[0]):
        total += np.float32(template[d]) * probe[d]
    return total


@njit(nogil=True, cache=True)
def scan_rows(
    blocks: Any, templates: Any, states: Any, signs: Any, heavy: Any, limits: Any, probes: Any,
    min_similarity: Any, found: Any, similarity: Any,
) -> tuple[int, int]:  # fmt: skip
    """Find rows at or above `min_similarity` of a probe; return how many, and how many scored.

    `blocks` (b, 3, 1024) uint64, `templates` (n, 192) int8, `states` (n,) uint8, `signs` and
    `heavy` (p, 3) uint64, `limits` (p,), `probes` (p, 192) float32 unit rows, `min_similarity`
    (p, 4) by mask state. Rows go to `found` (k,) int64 with their cosines in `similarity` (k, p),
    all probes scored; if more than k are found, the count says so and the caller asks again with
    more room.
    """
    count, scored = 0, 0
    hits = np.empty(BLOCK, np.uint64)
    for b in range(blocks.shape[0]):
        _prefilter(blocks[b], signs, heavy, limits, hits)
        for i in range(min(BLOCK, templates.shape[0] - b * BLOCK)):
            if hits[i] == 0:
                continue
            row = b * BLOCK + i
            norm = _norm(templates[row])
            passes = False
            for p in range(probes.shape[0]):
                if (hits[i] >> np.uint64(p)) & np.uint64(1) and not passes:
                    scored += 1
                    cosine = _dot(templates[row], probes[p]) / norm
                    passes = cosine >= min_similarity[p, states[row] & STATE_BITS]
            if passes:
                if count < found.shape[0]:
                    found[count] = row
                    for p in range(probes.shape[0]):
                        similarity[count, p] = _dot(templates[row], probes[p]) / norm
                count += 1
    return count, scored


def scan(
    blocks: NDArray[np.uint64], templates: NDArray[np.int8], states: NDArray[np.uint8],
    codes: tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64]],
    probes: NDArray[np.float32], min_similarity: NDArray[np.float32],
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:  # fmt: skip
    """Return the rows found and their cosines to all probes; see `scan_rows`."""
    room = 4096
    while True:
        found = np.empty(room, np.int64)
        similarity = np.empty((room, len(probes)), np.float32)
        count, _ = scan_rows(
            blocks, templates, states, *codes, probes, min_similarity, found, similarity
        )
        if count <= room:
            return found[:count], similarity[:count]
        room = count
