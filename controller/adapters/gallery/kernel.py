"""The scan itself, compiled: two looks at bit planes, exact cosines of what passes; no GIL.

Per row and probe the first look costs six popcounts, which the compiler turns into vector
instructions; only what passes both looks is unpacked. See domain/prefilter for the mathematics
and packing.py for the layout.
"""

from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from controller.domain.prefilter import ProbeCodes

BLOCK: Final = 1024
"""Rows per block of bit planes; inside a block they lie word by word, (2, 3, 1024)."""
_LOW_HALF: Final = np.uint64(0xFFFFFFFF)
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
def _first_look(block: Any, signs: Any, heavy: Any, limits: Any, hits: Any) -> None:
    hits[:] = 0
    for p in range(signs.shape[0]):
        q0, q1, q2 = signs[p, 0], signs[p, 1], signs[p, 2]
        h0, h1, h2 = heavy[p, 0], heavy[p, 1], heavy[p, 2]
        bit = np.uint64(1) << np.uint64(p)
        for i in range(block.shape[2]):
            x, y, z = block[0, 0, i] ^ q0, block[0, 1, i] ^ q1, block[0, 2, i] ^ q2
            plain = _popcount(x) + _popcount(y) + _popcount(z)
            large = _popcount(x & h0) + _popcount(y & h1) + _popcount(z & h2)
            near = plain + large * np.uint64(2) <= limits[p]
            hits[i] |= bit if near else np.uint64(0)


@njit(nogil=True, cache=True)
def _second_look(block: Any, i: int, signs: Any, levels: Any, p: int) -> Any:
    """Return the dot product of the codes of row i and probe p over the length of the row's."""
    tops, product = np.int64(0), np.int64(0)
    for w in range(3):
        top = block[1, w, i]
        differ = block[0, w, i] ^ signs[p, w]
        tops += np.int64(_popcount(top))
        for b in range(levels.shape[1]):
            plane = levels[p, b, w]
            large = plane & top
            agree = np.int64(_popcount(plane)) - 2 * np.int64(_popcount(plane & differ))
            strong = np.int64(_popcount(large)) - 2 * np.int64(_popcount(large & differ))
            product += (agree + 2 * strong) << b
    return np.float32(product) / np.sqrt(np.float32(192 + 8 * tops))


@njit(nogil=True, cache=True, fastmath=True)
def _unpacked(block: Any, i: int, rest: Any, row: int, values: Any) -> Any:
    """Write a row's 192 components to `values` (float32); return their length."""
    for k in range(48):
        a, b, c = np.int32(rest[row, k]), np.int32(rest[row, k + 48]), np.int32(rest[row, k + 96])
        values[k] = np.float32(a & np.int32(63))
        values[k + 48] = np.float32(b & np.int32(63))
        values[k + 96] = np.float32(c & np.int32(63))
        high = (b >> np.int32(6)) * np.int32(4) + (c >> np.int32(6)) * np.int32(16)
        values[k + 144] = np.float32((a >> np.int32(6)) + high)
    square = np.float32(0)
    for half in range(6):
        # 32 bits at a time: lanes as wide as the floats that they belong to.
        shift = np.uint64(32 * (half % 2))
        sign = np.uint32((block[0, half // 2, i] >> shift) & _LOW_HALF)
        top = np.uint32((block[1, half // 2, i] >> shift) & _LOW_HALF)
        for k in range(32):
            at = half * 32 + k
            bit = np.uint32(1) << np.uint32(k)
            value = values[at] + (np.float32(64) if top & bit else np.float32(0))
            square += value * value
            values[at] = value if sign & bit else -value
    return np.sqrt(square + np.float32(1e-6))


@njit(nogil=True, cache=True, fastmath=True)
def _dot(values: Any, probes: Any, p: int) -> Any:
    total = np.float32(0)
    for d in range(values.shape[0]):
        total += values[d] * probes[p, d]
    return total


@njit(nogil=True, cache=True)
def _length_if_near(
    block: Any, i: int, rest: Any, row: int, hit: Any, signs: Any, levels: Any, least: Any,
    probes: Any, min_similarity: Any, values: Any,
) -> Any:  # fmt: skip
    """Return a row's length if a probe that it was a hit of is truly near, else 0."""
    norm = np.float32(0)
    for p in range(probes.shape[0]):
        if not (hit >> np.uint64(p)) & np.uint64(1):
            continue
        if _second_look(block, i, signs, levels, p) < least[p]:
            continue
        if norm == 0:
            norm = _unpacked(block, i, rest, row, values)
        if _dot(values, probes, p) >= min_similarity[p] * norm:
            return norm
    return np.float32(0)


@njit(nogil=True, cache=True)
def scan_rows(
    blocks: Any, rest: Any, states: Any, signs: Any, heavy: Any, limits: Any, levels: Any,
    least: Any, probes: Any, min_similarity: Any, found: Any, similarity: Any,
) -> int:  # fmt: skip
    """Find rows at or above `min_similarity` of a probe; return how many.

    `blocks` (b, 2, 3, 1024) uint64 and `rest` (n, 144) uint8 as packed, `states` (n,) uint8,
    then the probes' codes, `probes` (p, 192) float32 unit rows and `min_similarity` (4, p) by
    mask state. Rows go to `found` (k,) int64 with their cosines in `similarity` (k, p), all
    probes scored; if more than k are found, the count says so and the caller asks again with
    more room.
    """
    count = 0
    hits = np.empty(BLOCK, np.uint64)
    values = np.empty(192, np.float32)
    for b in range(blocks.shape[0]):
        block = blocks[b]
        _first_look(block, signs, heavy, limits, hits)
        for i in range(min(BLOCK, rest.shape[0] - b * BLOCK)):
            if hits[i] == 0:
                continue
            row = b * BLOCK + i
            norm = _length_if_near(
                block, i, rest, row, hits[i], signs, levels, least, probes,
                min_similarity[states[row] & STATE_BITS], values,
            )  # fmt: skip
            if norm > 0:
                if count < found.shape[0]:
                    found[count] = row
                    for p in range(probes.shape[0]):
                        similarity[count, p] = _dot(values, probes, p) / norm
                count += 1
    return count


def scan(
    blocks: NDArray[np.uint64], rest: NDArray[np.uint8], states: NDArray[np.uint8],
    codes: ProbeCodes, probes: NDArray[np.float32], min_similarity: NDArray[np.float32],
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:  # fmt: skip
    """Return the rows found and their cosines to all probes; see `scan_rows`."""
    room = 4096
    by_state = np.ascontiguousarray(min_similarity.T)
    while True:
        found = np.empty(room, np.int64)
        similarity = np.empty((room, len(probes)), np.float32)
        count = scan_rows(
            blocks, rest, states, codes.signs, codes.heavy, codes.limits, codes.levels,
            codes.least, probes, by_state, found, similarity,
        )  # fmt: skip
        if count <= room:
            return found[:count], similarity[:count]
        room = count
