"""The one place where a network file meets the runtime that runs it."""

from pathlib import Path

from agent.models.network import (
    Network,
    NetworkFailed,
    NetworkInvalid,
    RuntimeUnavailable,
    TensorInfo,
)
from agent.models.onnx import load_onnx
from agent.models.tflite import load_tflite, runtime_name

__all__ = [
    "Network", "NetworkFailed", "NetworkInvalid", "RuntimeUnavailable", "TensorInfo",
    "load_network", "runtime_name",
]  # fmt: skip


def load_network(
    path: Path, *, threads: int = 1, device: str = "cpu",
    input_shape: tuple[int, ...] | None = None,
) -> Network:  # fmt: skip
    """Load a network on `cpu`, `edgetpu`, `cuda` or `tensorrt`, by the file's ending.

    `input_shape`: another picture size than the stored one (.tflite on the CPU only). Raises
    `NetworkInvalid` or `RuntimeUnavailable`.
    """
    if path.suffix == ".onnx":
        return load_onnx(path, threads=threads, device=device)
    if device not in {"cpu", "edgetpu"}:
        raise RuntimeUnavailable(f"accelerator {device}: {path.name} is no .onnx file; "
                                 "use vision.accelerator none or edgetpu")  # fmt: skip
    return load_tflite(path, threads=threads, input_shape=input_shape, edgetpu=device == "edgetpu")
