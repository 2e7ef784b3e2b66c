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


def only_resized(source: Path, target: Path) -> Path:
    """Write the packaged ONNX graph with nothing changed but its dimensions."""
    import onnx

    model = onnx.load(str(source))
    weights = {item.name for item in model.graph.initializer}
    picture = next(item for item in model.graph.input if item.name not in weights)
    _set_dims(picture, (1, 3, DETECT_H, DETECT_W))
    for output, channels in zip(model.graph.output, HEAD_CHANNELS, strict=True):
        _set_dims(output, (1, channels, DETECT_H // STRIDE, DETECT_W // STRIDE))
    onnx.save(model, str(target))
    return target


def _upsample_by_depth_to_space(graph: Any, node: Any) -> None:
    """Replace ConvTranspose (2x2, stride 2), batch norm and ReLU by Conv, ReLU, DepthToSpace.

    onnx2tf swaps the channels of one of the three ConvTransposes; DepthToSpace it converts
    exactly. The batch norm goes into the kernel, and the ReLU moves to where it can be fused.
    """
    from onnx import helper, numpy_helper

    values = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    norm = _only_user(graph, node, "BatchNormalization")
    relu = _only_user(graph, norm, "Relu")
    weight = values[node.input[1]]
    inputs, outputs = weight.shape[:2]
    gain, mean, shift = _norm_factors(norm, values)
    bias = values[node.input[2]] if len(node.input) > 2 else np.zeros(outputs)
    kernel = (weight * gain[None, :, None, None]).transpose(2, 3, 1, 0)
    names = [f"{node.output[0]}_kernel", f"{node.output[0]}_bias"]
    arrays = [np.ascontiguousarray(kernel.reshape(4 * outputs, inputs, 1, 1), np.float32),
              np.tile((bias - mean) * gain + shift, 4).astype(np.float32)]  # fmt: skip
    graph.initializer.extend(
        numpy_helper.from_array(array, name) for array, name in zip(arrays, names, strict=True)
    )
    wide, cut = f"{node.output[0]}_wide", f"{node.output[0]}_cut"
    at = list(graph.node).index(node)
    for old in (node, norm, relu):
        graph.node.remove(old)
    for new in (
        helper.make_node("DepthToSpace", [cut], list(relu.output), blocksize=2),
        helper.make_node("Relu", [wide], [cut]),
        helper.make_node("Conv", [node.input[0], *names], [wide], kernel_shape=[1, 1]),
    ):
        graph.node.insert(at, new)


def _only_user(graph: Any, node: Any, kind: str) -> Any:
    users = [n for n in graph.node if node.output[0] in n.input]
    if [n.op_type for n in users] != [kind]:
        raise SystemExit(f"CenterFace: {node.name} is not followed by one {kind}")
    return users[0]


def _norm_factors(
    norm: Any, values: dict[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    scale, shift, mean, variance = (values[name] for name in norm.input[1:5])
    epsilon = next((a.f for a in norm.attribute if a.name == "epsilon"), 1e-5)
    return scale / np.sqrt(variance + epsilon), mean, shift


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


def clean_graph(source: Path, work: Path, *, as_onnx: Path) -> Path:
    """Take a TFLite file through ONNX and back, which leaves constants the quantiser accepts."""
    work.mkdir(parents=True, exist_ok=True)
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


def quantise_weights(source: Path, target: Path) -> None:
    """Store a float TFLite file's weights as int8, one scale a channel; it computes in float."""
    from ai_edge_quantizer import recipe

    rules = recipe.dynamic_wi8_afp32()
    for rule in rules:
        rule["op_config"] |= {"compute_precision": "FLOAT", "explicit_dequantize": True}
    _export(source, rules, target)


def half_precision(source: Path, target: Path) -> None:
    """Store a float TFLite file's weights as fp16; it computes in what the device has."""
    weights = {"num_bits": 16, "symmetric": True, "granularity": "TENSORWISE", "dtype": "FLOAT"}
    rule = {
        "regex": ".*", "operation": "*", "algorithm_key": "float_casting",
        "op_config": {"weight_tensor_config": weights, "compute_precision": "FLOAT",
                      "explicit_dequantize": True, "skip_checks": False,
                      "min_weight_elements": 0},
    }  # fmt: skip
    _export(source, [rule], target)


def _export(source: Path, rules: list[dict[str, Any]], target: Path) -> None:
    from ai_edge_quantizer import quantizer

    target.unlink(missing_ok=True)
    quantizer.Quantizer(str(source), rules).quantize().export_model(str(target))


def _signatures(source: Path) -> dict[str, list[str]]:
    from ai_edge_litert.interpreter import Interpreter

    found = Interpreter(model_path=str(source)).get_signature_list()
    return {name: list(value["inputs"]) for name, value in found.items()}


def batches(array: np.ndarray) -> Iterator[np.ndarray]:
    """Yield (1, ...) float32 slices of an array of inputs."""
    for row in array:
        yield np.asarray(row[None], dtype=np.float32)
