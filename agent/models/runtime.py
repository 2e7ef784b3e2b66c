"""One adapter over tflite-runtime and ai-edge-litert: load a network, run arrays through it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from agent.errors import AgentError

MAX_THREADS: Final = 16
F32 = NDArray[np.float32]


class RuntimeUnavailable(AgentError):
    """No TFLite runtime is installed."""


class NetworkInvalid(AgentError):
    """A network file cannot be loaded, or an input does not fit it."""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Name, shape and stored element type of one input or output."""

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
        """Run one inference; arrays must have the input's shapes."""
        ...


def runtime_name() -> str:
    """Name the TFLite runtime that `load_network` will use."""
    return str(_interpreter_class().__module__.split(".")[0])


def load_network(path: Path, *, threads: int = 1) -> Network:
    """Load a .tflite file; raises `NetworkInvalid` or `RuntimeUnavailable`."""
    if not 1 <= threads <= MAX_THREADS:
        raise NetworkInvalid(f"threads: {threads} is not in 1..{MAX_THREADS}")
    interpreter_class = _interpreter_class()
    try:
        interpreter = interpreter_class(model_path=str(path), num_threads=threads)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0][:120]
        raise NetworkInvalid(
            f"model {path.name}: cannot be loaded ({reason}); reinstall the model pack"
        ) from None
    return _TfliteNetwork(interpreter, path.name)


def _interpreter_class() -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        try:
            from tflite_runtime.interpreter import Interpreter
        except ImportError:
            raise RuntimeUnavailable(
                "runtime: neither ai-edge-litert nor tflite-runtime is installed; "
                "install sightline[agent]"
            ) from None
    return Interpreter


class _TfliteNetwork:
    def __init__(self, interpreter: Any, name: str) -> None:
        self._interpreter = interpreter
        self._name = name
        self._input_details = interpreter.get_input_details()
        self._output_details = interpreter.get_output_details()
        self.inputs = tuple(_info(d) for d in self._input_details)
        self.outputs = tuple(_info(d) for d in self._output_details)

    def run(self, *arrays: NDArray[Any]) -> list[F32]:
        if len(arrays) != len(self._input_details):
            raise NetworkInvalid(
                f"{self._name}: wants {len(self._input_details)} inputs, got {len(arrays)}"
            )
        for detail, array in zip(self._input_details, arrays, strict=True):
            self._interpreter.set_tensor(detail["index"], self._as_stored(detail, array))
        self._interpreter.invoke()
        return [self._as_float(detail) for detail in self._output_details]

    def _as_stored(self, detail: dict[str, Any], array: NDArray[Any]) -> NDArray[Any]:
        shape = tuple(int(n) for n in detail["shape"])
        if array.shape != shape:
            raise NetworkInvalid(f"{self._name}: input shape {array.shape}, wants {shape}")
        scale, zero = detail["quantization"]
        if not scale or np.issubdtype(detail["dtype"], np.floating):
            return np.ascontiguousarray(array, dtype=detail["dtype"])
        limits = np.iinfo(detail["dtype"])
        stored = np.clip(np.rint(array / scale + zero), limits.min, limits.max)
        return np.ascontiguousarray(stored, dtype=detail["dtype"])

    def _as_float(self, detail: dict[str, Any]) -> F32:
        # get_tensor copies, so the caller's array survives the next run.
        raw = np.asarray(self._interpreter.get_tensor(detail["index"]))
        scale, zero = detail["quantization"]
        if not scale or np.issubdtype(raw.dtype, np.floating):
            return raw.astype(np.float32, copy=False)
        return np.asarray((raw.astype(np.float32) - zero) * scale, dtype=np.float32)


def _info(detail: dict[str, Any]) -> TensorInfo:
    shape: Sequence[int] = detail["shape"]
    return TensorInfo(detail["name"], tuple(int(n) for n in shape), np.dtype(detail["dtype"]).name)
