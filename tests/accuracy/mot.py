"""How well track keys agree with the truth, counted over detected faces.

IDF1, IDTP, IDFP and IDFN as defined by Ristani, Solera, Zou, Cucchiara and Tomasi, "Performance
Measures and a Data Set for Multi-Target, Multi-Camera Tracking", ECCV 2016 workshops: the
one-to-one assignment of truth to tracks that has most faces in common. Switches as in Bernardin
and Stiefelhagen (CLEAR MOT, 2008): a passage's face has another key than its last keyed one.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

Pair = tuple[int | None, int | None]
"""(passage, track key) of one detected face; None: no person, or no track."""


@dataclass(frozen=True, slots=True)
class Score:
    """Counts of one or more scenes; they add up."""

    idtp: int = 0
    idfp: int = 0
    idfn: int = 0
    switches: int = 0
    fragments: int = 0
    passages: int = 0

    def __add__(self, other: "Score") -> "Score":
        return Score(*(getattr(self, n) + getattr(other, n) for n in self.__slots__))

    @property
    def idf1(self) -> float:
        """Return 2 IDTP / (2 IDTP + IDFP + IDFN) in 0..1."""
        return 2 * self.idtp / max(2 * self.idtp + self.idfp + self.idfn, 1)


def score(pairs: Sequence[Pair]) -> Score:
    """Score one scene's faces, in order of time; fragments are keys of a passage beyond one."""
    common = Counter((t, k) for t, k in pairs if t is not None and k is not None)
    truths = sorted({t for t, _ in pairs if t is not None})
    keys = sorted({k for _, k in pairs if k is not None})
    overlap = np.array([[common[t, k] for k in keys] for t in truths]).reshape(len(truths), -1)
    idtp = int(overlap[linear_sum_assignment(-overlap)].sum())
    last: dict[int, int] = {}
    switches = 0
    for truth, key in pairs:
        if truth is not None and key is not None:
            switches += last.setdefault(truth, key) != key
            last[truth] = key
    faces, keyed = (sum(p[i] is not None for p in pairs) for i in (0, 1))
    return Score(
        idtp, keyed - idtp, faces - idtp, switches, len(common) - len(last), len(truths)
    )  # fmt: skip
