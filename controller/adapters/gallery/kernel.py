"""The scan itself, compiled: two looks at bit planes, exact cosines of what passes; no GIL.

Block by block and probe by probe: the first look costs six popcounts a row, the second looks at
the few rows that passed, gathered so that both become vector instructions; only what passes both
is unpacked. See domain/prefilter for the mathematics and packing.py for the layout.
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
_WORD: Final = 64
_ONE: Final = np.uint64(1)
STATE_BITS: Final = 3
"""The low two bits of a row's `state` say its mask state (see `records`)."""


@intrinsic
def _popcount(_context: Any, _word: Any) -> Any:
    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ir.IntType(64), [ir.IntType(64)])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.ctpop.i64")
        return builder.call(function, arguments)

    return types.uint64(types.uint64), generate


@intrinsic
def _trailing_zeros(_context: Any, _word: Any) -> Any:
    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        # The second operand says that the word is never 0.
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate


@njit(nogil=True, cache=True)
def _first_look(block: Any, signs: Any, heavy: Any, limit: Any, places: Any) -> Any:
    """Write which rows of a block one probe is near to `places`; return how many."""
    q0, q1, q2 = signs[0], signs[1], signs[2]
    h0, h1, h2 = heavy[0], heavy[1], heavy[2]
    count = 0
    for start in range(0, BLOCK, _WORD):
        near = np.uint64(0)
        for j in range(_WORD):
            i = start + j
            x, y, z = block[0, 0, i] ^ q0, block[0, 1, i] ^ q1, block[0, 2, i] ^ q2
            plain = _popcount(x) + _popcount(y) + _popcount(z)
            large = _popcount(x & h0) + _popcount(y & h1) + _popcount(z & h2)
            passed = plain + large * np.uint64(2) <= limit
            near |= _ONE << np.uint64(j) if passed else np.uint64(0)
        while near != 0:
            places[count] = start + np.int64(_trailing_zeros(near))
            count += 1
            near &= near - _ONE
    return count


@njit(nogil=True, cache=True)
def _second_look(
    block: Any, places: Any, count: Any, signs: Any, levels: Any, least: Any, words: Any, good: Any
) -> None:
    """Tell in `good` which of `count` rows' codes are near enough to the probe's codes.

    Near is the dot product of both codes over the length of the row's; `words` (6, BLOCK) is
    room for the rows' planes side by side.
    """
    for w in range(3):
        for k in range(count):
            words[w, k] = block[0, w, places[k]]
            words[3 + w, k] = block[1, w, places[k]]
    for k in range(count):
        tops, product = np.int64(0), np.int64(0)
        for w in range(3):
            top = words[3 + w, k]
            differ = words[w, k] ^ signs[w]
            tops += np.int64(_popcount(top))
            for b in range(3):
                plane = levels[b, w]
                large = plane & top
                agree = np.int64(_popcount(plane)) - 2 * np.int64(_popcount(plane & differ))
                strong = np.int64(_popcount(large)) - 2 * np.int64(_popcount(large & differ))
                product += (agree + 2 * strong) << b
        good[k] = np.float32(product) >= least * np.sqrt(np.float32(192 + 8 * tops))


@njit(nogil=True, cache=True)
def _looks(
    block: Any, signs: Any, heavy: Any, limits: Any, levels: Any, least: Any,
    places: Any, words: Any, good: Any, hits: Any,
) -> Any:  # fmt: skip
    """Set bit p of `hits[i]` if row i of a block passes both looks of probe p; return how many."""
    hits[:] = 0
    total = 0
    for p in range(signs.shape[0]):
        count = _first_look(block, signs[p], heavy[p], limits[p], places)
        _second_look(block, places, count, signs[p], levels[p], least[p], words, good)
        bit = _ONE << np.uint64(p)
        for k in range(count):
            if good[k]:
                hits[places[k]] |= bit
                total += 1
    return total


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
def _near_any(values: Any, norm: Any, hit: Any, probes: Any, min_similarity: Any) -> Any:
    """Tell whether a row is truly near a probe whose looks it passed."""
    while hit != 0:
        p = np.int64(_trailing_zeros(hit))
        if _dot(values, probes, p) >= min_similarity[p] * norm:
            return True
        hit &= hit - _ONE
    return False


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
    hits, places = np.empty(BLOCK, np.uint64), np.empty(BLOCK, np.int64)
    words, good = np.empty((6, BLOCK), np.uint64), np.empty(BLOCK, np.bool_)
    values = np.empty(192, np.float32)
    for b in range(blocks.shape[0]):
        block = blocks[b]
        if not _looks(block, signs, heavy, limits, levels, least, places, words, good, hits):
            continue
        for i in range(min(BLOCK, rest.shape[0] - b * BLOCK)):
            if hits[i] == 0:
                continue
            row = b * BLOCK + i
            norm = _unpacked(block, i, rest, row, values)
            at_least = min_similarity[states[row] & STATE_BITS]
            if _near_any(values, norm, hits[i], probes, at_least):
                if count < found.shape[0]:
                    found[count] = row
                    for p in range(probes.shape[0]):
                        similarity[count, p] = _dot(values, probes, p) / norm
                count += 1
    return count


@njit(nogil=True, cache=True)
def cosines(blocks: Any, rest: Any, rows: Any, probes: Any, similarity: Any) -> None:
    """Write the exact cosines of (n,) given rows with all (p, 192) probes to (n, p)."""
    values = np.empty(192, np.float32)
    for k in range(rows.shape[0]):
        b, i = rows[k] // BLOCK, rows[k] % BLOCK
        norm = _unpacked(blocks[b], i, rest, rows[k], values)
        for p in range(probes.shape[0]):
            similarity[k, p] = _dot(values, probes, p) / norm


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
