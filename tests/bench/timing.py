"""How a piece of work is timed in this process."""

import time
from collections.abc import Callable
from typing import Final

import numpy as np

REPEATS: Final = 15


def median_ms(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Return the median of some runs, in milliseconds, after a first one that is not counted."""
    work()
    times = []
    for _ in range(REPEATS):
        start = clock()
        work()
        times.append(clock() - start)
    return round(float(np.median(times)) * 1000, 3)
