"""Time every network of the model pack alone, on one thread."""

import json
import sys
import time
from typing import Any, Final

import numpy as np

from agent.models.pack import load_pack
from agent.models.runtime import load_network, runtime_name
from tests.bench.children import ask
from tests.bench.edge.measure import pin
from tests.bench.timing import median_ms

TIMEOUT_S: Final = 300


def networks() -> dict[str, Any]:
    """Return the median CPU milliseconds of each network, from a process pinned to one core."""
    module = "tests.bench.edge.networks"
    return ask(sys.executable, module, (), timeout_s=TIMEOUT_S, one_thread=True)


def _measure() -> dict[str, Any]:
    """Time every .tflite of the pack on blank input; int8 ones stand beside the float ones."""
    pin()
    found: dict[str, Any] = {"runtime": runtime_name(), "threads": 1}
    for file in load_pack().files:
        if file.path.suffix == ".tflite":
            network = load_network(file.path, threads=1)
            blank = np.zeros(network.inputs[0].shape, np.float32)
            found[f"{file.role}/{file.variant}_ms"] = median_ms(
                lambda n=network, b=blank: n.run(b),  # type: ignore[misc]
                time.process_time,
            )
    return found


if __name__ == "__main__":
    print(json.dumps(_measure()))
