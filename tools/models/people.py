"""Which crops show the same person, so that no person is both learned from and measured on."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.models.runtime import load_network
from tools.models import adapt
from tools.models import crops as c

SAME_PERSON = 0.6
"""Similarity after joint whitening above which two crops nearly always show one person."""
EMBEDDER = Path(__file__).parents[2] / "agent" / "models" / "mobilefacenet_float.tflite"


def group_people(embeddings: adapt.F32, *, threshold: float = SAME_PERSON) -> NDArray[np.intp]:
    """Return one group number a row: crops linked by similarity, directly or through others."""
    parent = list(range(len(embeddings)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for left, right in np.argwhere(np.triu(embeddings @ embeddings.T, 1) > threshold):
        parent[root(int(left))] = root(int(right))
    return np.array([root(i) for i in range(len(embeddings))])


def people_of(crops: c.U8) -> NDArray[np.intp]:
    """Group crops by person with the float embedder on its own frame, whatever the pack uses.

    The groups must not change with the pack: trained networks were measured on them.
    """
    raw = adapt.embed_crops(load_network(EMBEDDER), crops, scale=1.0)
    return group_people(adapt.whiten_jointly(raw))


def held_out(people: NDArray[np.intp], *, share: float, seed: int) -> NDArray[np.bool_]:
    """Mark about `share` of the people for measuring."""
    names = np.unique(people)
    chosen = names[np.random.default_rng(seed).random(len(names)) < share]
    return np.isin(people, chosen)


def one_each(people: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Mark the first crop of every person."""
    first = np.zeros(len(people), bool)
    first[np.unique(people, return_index=True)[1]] = True
    return first
