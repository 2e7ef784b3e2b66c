"""ONNX files on ONNX Runtime: the CPU everywhere, CUDA and TensorRT on a Jetson.

Pictures go in and maps come out as NHWC, as with TFLite, although these graphs store NCHW.
"""

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

PROVIDERS: Final[dict[str, tuple[str, ...]]] = {
    "cpu": ("CPUExecutionProvider",),
    "cuda": ("CUDAExecutionProvider",),
    "tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider"),
}


def load_onnx(path: Path, *, threads: int = 1, device: str = "cpu") -> Network:
    """Load an .onnx file for `cpu`, `cuda` or `tensorrt`.

    Raises `RuntimeUnavailable` if ONNX Runtime or the device's provider is missing (it would
    otherwise fall back to the CPU silently), `NetworkInvalid` if the file is no network.
    """
    runtime = _runtime()
    wanted = PROVIDERS[device]
    missing = [name for name in wanted if name not in runtime.get_available_providers()]
    if missing:
        raise RuntimeUnavailable(
            f"accelerator {device}: ONNX Runtime lacks {missing[0]}; "
            "install NVIDIA's onnxruntime-gpu wheel for this JetPack"
        )
    options = runtime.SessionOptions()
    options.intra_op_num_threads = checked_threads(threads)
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = runtime.InferenceSession(str(path), options, providers=list(wanted))
    except Exception as error:  # noqa: BLE001 - its exception classes are not public
        reason = str(error).splitlines()[0][:120]
        raise NetworkInvalid(
            f"model {path.name}: cannot be loaded ({reason}); reinstall the model pack"
        ) from None
    if session.get_providers()[0] != wanted[0]:
        raise RuntimeUnavailable(
            f"accelerator {device}: {wanted[0]} did not start; check the driver and JetPack"
        )
    return _OnnxNetwork(session, path.name)


def _runtime() -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise RuntimeUnavailable(
            "runtime: onnxruntime is not installed; install sightline[jetson]"
        ) from None
    return onnxruntime


class _OnnxNetwork:
    def __init__(self, session: Any, name: str) -> None:
        self._session, self._name = session, name
        self._names = [i.name for i in session.get_inputs()]
        self.inputs = tuple(_info(i) for i in session.get_inputs())
        self._picture = [_is_channels_first(i.shape) for i in session.get_inputs()]
        outputs = sorted(session.get_outputs(), key=lambda o: o.name)
        self._outputs = [o.name for o in outputs]
        self.outputs = tuple(_info(o) for o in outputs)

    def run(self, *arrays: NDArray[Any]) -> list[F32]:
        check_inputs(self._name, self.inputs, arrays)
        feed = {
            name: _channels_first(array) if moved else np.ascontiguousarray(array, np.float32)
            for name, array, moved in zip(self._names, arrays, self._picture, strict=True)
        }
        try:
            found = self._session.run(self._outputs, feed)
        except Exception as error:  # noqa: BLE001 - its exception classes are not public
            raise NetworkFailed(f"model {self._name}: {str(error).splitlines()[0][:120]}") from None
        return [_channels_last(np.asarray(a, np.float32)) for a in found]


def _is_channels_first(shape: list[int]) -> bool:
    return len(shape) == 4 and shape[1] in (1, 3) and shape[3] not in (1, 3)


def _channels_first(array: NDArray[Any]) -> F32:
    return np.ascontiguousarray(array.transpose(0, 3, 1, 2), np.float32)


def _channels_last(array: F32) -> F32:
    return array.transpose(0, 2, 3, 1) if array.ndim == 4 else array


def _info(value: Any) -> TensorInfo:
    shape = tuple(int(n) for n in value.shape)
    if _is_channels_first(list(shape)):
        shape = (shape[0], shape[2], shape[3], shape[1])
    return TensorInfo(value.name, shape, "float32")
