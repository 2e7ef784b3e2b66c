"""Turn the packaged networks into the files of the model pack.

CenterFace: the ONNX graph is stored as 10x3x32x32; its dimensions are overwritten and
onnx2tf converts it. MobileFaceNet: the batch of 2 is a constant in the flatbuffer and is
rewritten to 1. Int8: static post-training quantisation on real crops (ai-edge-quantizer).
"""

import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

DETECT_W, DETECT_H = 640, 384
STRIDE = 4
HEAD_CHANNELS = (1, 2, 2, 10)


def resize_centerface(source: Path, target: Path, *, width: int, height: int) -> None:
    """Write the ONNX graph with a fixed 1x3xHxW input and without weights among its inputs."""
    import onnx

    model = onnx.load(str(source))
    weights = {item.name for item in model.graph.initializer}
    inputs = [item for item in model.graph.input if item.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    _set_dims(model.graph.input[0], (1, 3, height, width))
    for output, channels in zip(model.graph.output, HEAD_CHANNELS, strict=True):
        _set_dims(output, (1, channels, height // STRIDE, width // STRIDE))
    for node in [n for n in model.graph.node if n.op_type == "ConvTranspose"]:
        _upsample_by_depth_to_space(model.graph, node)
    onnx.save(model, str(target))


def _upsample_by_depth_to_space(graph: Any, node: Any) -> None:
    """Replace a 2x2 stride-2 ConvTranspose by an equal 1x1 Conv and DepthToSpace.

    onnx2tf swaps the channels of one of the three; DepthToSpace it converts exactly.
    """
    from onnx import helper, numpy_helper

    values = {item.name: item for item in graph.initializer}
    weight = numpy_helper.to_array(values[node.input[1]])
    inputs, outputs = weight.shape[:2]
    kernel = weight.transpose(2, 3, 1, 0).reshape(4 * outputs, inputs, 1, 1)
    names = [f"{node.output[0]}_kernel", f"{node.output[0]}_bias"]
    bias = (
        numpy_helper.to_array(values[node.input[2]]) if len(node.input) > 2 else np.zeros(outputs)
    )
    arrays = [np.ascontiguousarray(kernel), np.tile(bias, 4).astype("f4")]
    graph.initializer.extend(
        numpy_helper.from_array(array, name) for array, name in zip(arrays, names, strict=True)
    )
    wide = f"{node.output[0]}_wide"
    conv = helper.make_node("Conv", [node.input[0], *names], [wide], kernel_shape=[1, 1])
    spread = helper.make_node("DepthToSpace", [wide], list(node.output), blocksize=2)
    at = list(graph.node).index(node)
    graph.node.remove(node)
    graph.node.insert(at, spread)
    graph.node.insert(at, conv)


def _set_dims(value: Any, dims: tuple[int, ...]) -> None:
    for slot, size in zip(value.type.tensor_type.shape.dim, dims, strict=True):
        slot.ClearField("dim_param")
        slot.dim_value = size


def onnx_to_tflite(onnx_file: Path, work: Path, *flags: str) -> Path:
    """Convert a fixed-size ONNX graph to float32 TFLite (NHWC) with onnx2tf."""
    work.mkdir(parents=True, exist_ok=True)
    # onnx2tf compares outputs on this picture set, and would download it were it absent.
    sample = work / "calibration_image_sample_data_20x128x128x3_float32.npy"
    np.save(sample, np.random.default_rng(0).random((20, 128, 128, 3), dtype=np.float32))
    command = [str(Path(sys.executable).with_name("onnx2tf")), "-i", str(onnx_file.resolve()),
               "-o", "out", "-n", "-dsm", *flags]  # fmt: skip
    subprocess.run(command, cwd=work, check=True, stdout=subprocess.DEVNULL)
    return work / "out" / f"{onnx_file.stem}_float32.tflite"


def mobilefacenet_to_batch_1(source: Path, target: Path) -> None:
    """Rewrite the packaged MobileFaceNet's batch constant from 2 to 1."""
    model = _read_flatbuffer(source)
    for tensor in model.subgraphs[0].tensors:
        buffer = model.buffers[tensor.buffer]
        if buffer.data is None and len(tensor.shape) > 1 and tensor.shape[0] == 2:
            tensor.shape[0] = 1
        if tensor.name.endswith(b"SpatialSqueeze_shape"):
            buffer.data = np.frombuffer(np.array([1, 192], "<i4").tobytes(), np.uint8)
    _name_signature(model)
    _write_flatbuffer(model, target)


def clean_graph(source: Path, work: Path) -> Path:
    """Take a TFLite file through ONNX and back, which leaves constants the quantiser accepts."""
    work.mkdir(parents=True, exist_ok=True)
    as_onnx = work / f"{source.stem}.onnx"
    command = [sys.executable, "-m", "tf2onnx.convert", "--tflite", str(source),
               "--output", str(as_onnx), "--opset", "13"]  # fmt: skip
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    cleaned = onnx_to_tflite(as_onnx, work, "-kat", "input")
    model = _read_flatbuffer(cleaned)
    _name_signature(model)
    _write_flatbuffer(model, cleaned)
    return cleaned


def _read_flatbuffer(source: Path) -> Any:
    from ai_edge_litert import schema_py_generated as schema

    return schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(bytearray(source.read_bytes()), 0))


def _write_flatbuffer(model: Any, target: Path) -> None:
    import flatbuffers

    builder = flatbuffers.Builder(8 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    target.write_bytes(bytes(builder.Output()))


def _name_signature(model: Any) -> None:
    # The quantiser finds inputs by signature, and the converted file has none.
    from ai_edge_litert import schema_py_generated as schema

    graph, signature = model.subgraphs[0], schema.SignatureDefT()

    def tensor_map(name: bytes, index: int) -> Any:
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name, int(index)
        return entry

    signature.signatureKey, signature.subgraphIndex = b"serving_default", 0
    signature.inputs = [tensor_map(b"input", graph.inputs[0])]
    signature.outputs = [tensor_map(b"embeddings", graph.outputs[0])]
    model.signatureDefs = [signature]


def quantise_int8(source: Path, target: Path, samples: Iterable[np.ndarray]) -> None:
    """Quantise a float TFLite file to int8 weights and activations, float at its edges."""
    from ai_edge_quantizer import quantizer, recipe

    tool = quantizer.Quantizer(str(source), recipe.static_wi8_ai8())
    ((signature, inputs),) = _signatures(source).items()
    data = {signature: [{inputs[0]: sample} for sample in samples]}
    result = tool.quantize(tool.calibrate(data))
    target.unlink(missing_ok=True)
    result.export_model(str(target))


def _signatures(source: Path) -> dict[str, list[str]]:
    from ai_edge_litert.interpreter import Interpreter

    found = Interpreter(model_path=str(source)).get_signature_list()
    return {name: list(value["inputs"]) for name, value in found.items()}


def batches(array: np.ndarray) -> Iterator[np.ndarray]:
    """Yield (1, ...) float32 slices of an array of inputs."""
    for row in array:
        yield np.asarray(row[None], dtype=np.float32)
