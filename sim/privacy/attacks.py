"""Attacks on the rotation between two stolen galleries; none of them knows a key.

Each returns a linear map (192, 192) that carries rows of gallery A into the frame of gallery B;
rows are then compared by cosine. What an attack sees: both galleries, and the known pairs it is
given, nothing else.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
LANDMARKS: Final = 1_500
"""Rows of each gallery that the search compares with each other."""
ROUNDS: Final = 12
WINDOW: Final = 12
"""How far an axis may lie from its place by spread when its order is searched."""


def mean_alignment(a: F32, b: F32) -> F64:
    """Turn the mean of A onto the mean of B (Householder's reflection), and nothing else."""
    from_, to = a.mean(0, dtype=np.float64), b.mean(0, dtype=np.float64)
    step = from_ / np.linalg.norm(from_) - to / np.linalg.norm(to)
    length = float(step @ step)
    if length < 1e-12:
        return np.eye(a.shape[1])
    return np.asarray(np.eye(a.shape[1]) - 2 * np.outer(step, step) / length)


def pca_alignment(a: F32, b: F32) -> F64:
    """Lay the principal axes of A on those of B; order and signs are searched without any pair.

    Candidates: order by spread alone, and order by the best assignment of spread, skewness and
    kurtosis inside a window; signs by skewness. Each is improved by flipping signs while the rows
    come nearer to each other; the one whose rows lie nearest is kept.
    """
    axes_a, axes_b = _axes(a), _axes(b)
    on_a, on_b = a @ axes_a, b @ axes_b
    orders = (np.arange(a.shape[1]), _assigned(on_a, on_b))
    found = [_signed(on_a[:, order], on_b) for order in orders]
    best = max(range(len(orders)), key=lambda i: found[i][1])
    return np.asarray((axes_a[:, orders[best]] * found[best][0]) @ axes_b.T)


def pca_with_pairs(a: F32, b: F32, known_a: F32, known_b: F32) -> F64:
    """Lay axes on axes by spread, and let each known pair vote on every axis's sign."""
    axes_a, axes_b = _axes(a), _axes(b)
    votes = ((known_a @ axes_a) * (known_b @ axes_b)).sum(0)
    return np.asarray((axes_a * np.where(votes < 0, -1.0, 1.0)) @ axes_b.T)


def likeness_to_known(known_a: F32, known_b: F32) -> F64:
    """Compare rows by how much they resemble the known people, each inside its own gallery.

    No rotation is solved: whatever keeps similarities inside a gallery falls to this, linear or
    not. The score of rows x and y is the product of their profiles (x known_a') (known_b y').
    """
    return np.asarray(known_a.T.astype(np.float64) @ known_b)


def procrustes(known_a: F32, known_b: F32) -> F64:
    """Solve the orthogonal Procrustes problem on known pairs (Schoenemann, Psychometrika 1966).

    Directions that no pair spans are left out instead of guessed: they would only add noise.
    """
    u, s, vt = np.linalg.svd(known_a.T.astype(np.float64) @ known_b, full_matrices=False)
    told = s > 1e-3 * s[0]
    return np.asarray(u[:, told] @ vt[told])


def refined(a: F32, b: F32, start: F64, known_a: F32 | None = None,
            known_b: F32 | None = None) -> F64:  # fmt: skip
    """Improve a map without further pairs: believe mutual nearest rows, solve again, repeat.

    Iterative closest points in the rotation group (as in Lample et al., "Word translation without
    parallel data", ICLR 2018, after its first guess); known pairs stay in.
    """
    turned = start
    for _ in range(ROUNDS):
        here, there = mutual_nearest(a[:LANDMARKS] @ turned, b[:LANDMARKS])
        left, right = a[:LANDMARKS][here], b[:LANDMARKS][there]
        if known_a is not None and known_b is not None:
            left, right = np.concatenate([left, known_a]), np.concatenate([right, known_b])
        turned = procrustes(left, right)
    return turned


def mutual_nearest(
    moved: NDArray[np.floating], b: F32
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the row numbers of pairs that are each other's nearest by cosine."""
    cosines = np.asarray(moved, np.float32) @ b.T
    cosines /= np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-9)
    to_b, to_a = cosines.argmax(1), cosines.argmax(0)
    here = np.flatnonzero(to_a[to_b] == np.arange(len(to_b)))
    return here, to_b[here]


def _axes(rows: F32) -> F64:
    centred = rows - rows.mean(0)
    return np.asarray(np.linalg.eigh(centred.T.astype(np.float64) @ centred)[1][:, ::-1])


def _assigned(on_a: F64, on_b: F64) -> NDArray[np.intp]:
    cost = np.zeros((on_a.shape[1], on_b.shape[1]))
    for a, b in zip(_shape_of(on_a), _shape_of(on_b), strict=True):
        scale = np.std(np.concatenate([a, b])) + 1e-9
        cost += np.abs(a[:, None] - b[None]) / scale
    places = np.arange(len(cost))
    cost[np.abs(places[:, None] - places[None]) > WINDOW] = 1e6
    rows, columns = linear_sum_assignment(cost)
    order = np.empty(len(rows), np.intp)
    order[columns] = rows
    return order


def _shape_of(rows: F64) -> tuple[F64, F64, F64]:
    centred = rows - rows.mean(0)
    spread = centred.std(0) + 1e-12
    unit = centred / spread
    return np.log(spread), np.abs((unit**3).mean(0)), (unit**4).mean(0)


def _skewness(rows: F64) -> F64:
    centred = rows - rows.mean(0)
    return np.asarray((centred**3).mean(0))


def _signed(on_a: F64, on_b: F64) -> tuple[F64, float]:
    signs = np.where(_skewness(on_a) * _skewness(on_b) < 0, -1.0, 1.0)
    left, right = on_a[:LANDMARKS], on_b[:LANDMARKS].astype(np.float32)
    best = _nearness(left * signs, right)
    for _ in range(ROUNDS):
        here, there = mutual_nearest(left * signs, right)
        # The sign that the believed pairs prefer, for all axes at once.
        votes = (left[here] * right[there]).sum(0)
        tried = np.where(votes < 0, -1.0, 1.0)
        reached = _nearness(left * tried, right)
        if reached <= best:
            break
        signs, best = tried, reached
    return signs, best


def _nearness(moved: F64, b: F32) -> float:
    return float((moved.astype(np.float32) @ b.T).max(axis=1).mean())
