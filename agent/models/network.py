"""What the vision code asks of a loaded network, whichever runtime runs it."""

from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from agent.errors import AgentError

MAX_THREADS: Final = 16
F32 = NDArray[np.float32]


class RuntimeUnavailable(AgentError):
    """The runtime or accelerator that a network needs is not there."""


class NetworkInvalid(AgentError):
    """A network file cannot be loaded, or an input does not fit it."""


class NetworkFailed(AgentError):
    """A loaded network could not run, as when its accelerator was unplugged."""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Name, shape and stored element type of one input or output; pictures are NHWC."""

    name: str
    shape: tuple[int, ...]
    dtype: str


class Network(Protocol):
    """A loaded network; floats in, floats out, whatever it stores inside."""

    @property
    def inputs(self) -> tuple[TensorInfo, ...]:
        """Describe the inputs in order."""
        ...

    @property
    def outputs(self) -> tuple[TensorInfo, ...]:
        """Describe the outputs in order."""
        ...

    def run(self, *arrays: NDArray[Any]) -> list[F32]:
        """Run one inference; arrays must have the inputs' shapes.

        Raises `NetworkInvalid` for a wrong input and `NetworkFailed` if the device gave up.
        """
        ...


def checked_threads(threads: int) -> int:
    """Return the number of threads; raises `NetworkInvalid` outside 1..16."""
    if not 1 <= threads <= MAX_THREADS:
        raise NetworkInvalid(f"threads: {threads} is not in 1..{MAX_THREADS}")
    return threads


def check_inputs(name: str, inputs: tuple[TensorInfo, ...], arrays: tuple[NDArray[Any], ...]
                 ) -> None:  # fmt: skip
    """Raise `NetworkInvalid` unless there is an array of the right shape for every input."""
    if len(arrays) != len(inputs):
        raise NetworkInvalid(f"{name}: wants {len(inputs)} inputs, got {len(arrays)}")
    for info, array in zip(inputs, arrays, strict=True):
        if array.shape != info.shape:
            raise NetworkInvalid(f"{name}: input shape {array.shape}, wants {info.shape}")
