"""TFLite files on the CPU or, through a delegate, on an Edge TPU."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agent.models.network import (
    F32,
    Network,
    NetworkFailed,
    NetworkInvalid,
    RuntimeUnavailable,
    TensorInfo,
    check_inputs,
    checked_threads,
)

EDGETPU_LIBRARY: Final = "libedgetpu.so.1"


def runtime_name() -> str:
    """Name the TFLite runtime that is installed: `ai_edge_litert` or `tflite_runtime`."""
    return str(_runtime().Interpreter.__module__.split(".")[0])


def load_tflite(
    path: Path, *, threads: int = 1, input_shape: tuple[int, ...] | None = None,
    edgetpu: bool = False,
) -> Network:  # fmt: skip
    """Load a .tflite file; raises `NetworkInvalid` or `RuntimeUnavailable`.

    `input_shape` overrides the stored shape of the first input (convolutional networks only);
    `edgetpu` runs the parts compiled for a Coral Edge TPU on it.
    """
    options: dict[str, Any] = {"model_path": str(path), "num_threads": checked_threads(threads)}
    if edgetpu:
        options["experimental_delegates"] = [_edgetpu_delegate()]
    try:
        interpreter = _runtime().Interpreter(**options)
        if input_shape is not None:
            index = interpreter.get_input_details()[0]["index"]
            interpreter.resize_tensor_input(index, list(input_shape), strict=False)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0][:120]
        raise NetworkInvalid(
            f"model {path.name}: cannot be loaded ({reason}); reinstall the model pack"
        ) from None
    return _TfliteNetwork(interpreter, path.name)


def _runtime() -> Any:
    try:
        from ai_edge_litert import interpreter
    except ImportError:
        try:
            from tflite_runtime import interpreter
        except ImportError:
            raise RuntimeUnavailable(
                "runtime: neither ai-edge-litert nor tflite-runtime is installed; "
                "install sightline[agent]"
            ) from None
    return interpreter


def _edgetpu_delegate() -> Any:
    try:
        return _runtime().load_delegate(EDGETPU_LIBRARY)
    except (ValueError, OSError, RuntimeError) as error:
        reason = (str(error).splitlines() or ["not found"])[0][:120]
        raise RuntimeUnavailable(
            f"accelerator edgetpu: {reason}; plug in the Coral and install libedgetpu1-std"
        ) from None


class _TfliteNetwork:
    def __init__(self, interpreter: Any, name: str) -> None:
        self._interpreter = interpreter
        self._name = name
        self._input_details = interpreter.get_input_details()
        # By name, as the graphs number them: runtimes list them in orders of their own.
        self._output_details = sorted(interpreter.get_output_details(), key=lambda d: d["name"])
        self.inputs = tuple(_info(d) for d in self._input_details)
        self.outputs = tuple(_info(d) for d in self._output_details)

    def run(self, *arrays: NDArray[Any]) -> list[F32]:
        check_inputs(self._name, self.inputs, arrays)
        for detail, array in zip(self._input_details, arrays, strict=True):
            self._interpreter.set_tensor(detail["index"], _as_stored(detail, array))
        try:
            self._interpreter.invoke()
        except RuntimeError as error:
            reason = (str(error).splitlines() or ["unknown"])[0][:120]
            raise NetworkFailed(f"model {self._name}: {reason}") from None
        return [self._as_float(detail) for detail in self._output_details]

    def _as_float(self, detail: dict[str, Any]) -> F32:
        # get_tensor copies, so the caller's array survives the next run.
        raw = np.asarray(self._interpreter.get_tensor(detail["index"]))
        scale, zero = detail["quantization"]
        if not scale or np.issubdtype(raw.dtype, np.floating):
            return raw.astype(np.float32, copy=False)
        return np.asarray((raw.astype(np.float32) - zero) * scale, dtype=np.float32)


def _as_stored(detail: dict[str, Any], array: NDArray[Any]) -> NDArray[Any]:
    scale, zero = detail["quantization"]
    if not scale or np.issubdtype(detail["dtype"], np.floating):
        return np.ascontiguousarray(array, dtype=detail["dtype"])
    limits = np.iinfo(detail["dtype"])
    stored = np.clip(np.rint(array / scale + zero), limits.min, limits.max)
    return np.ascontiguousarray(stored, dtype=detail["dtype"])


def _info(detail: dict[str, Any]) -> TensorInfo:
    shape: Sequence[int] = detail["shape"]
    return TensorInfo(detail["name"], tuple(int(n) for n in shape), np.dtype(detail["dtype"]).name)
