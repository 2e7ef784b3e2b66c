"""The model pack: committed files are what the manifest says, and anything else is refused."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from agent.models.pack import (
    DEFAULT_ROOT,
    ModelHashMismatch,
    ModelPackInvalid,
    load_pack,
)
from agent.models.runtime import NetworkInvalid, load_network

PACK = load_pack()

SHAPES = {
    ("detector", "centerface-fp16"): (1, 384, 640, 3),
    ("detector", "centerface-onnx"): (1, 384, 640, 3),
    ("detector", "centerface-int8"): (1, 384, 640, 3),
    ("detector", "blazeface-full"): (1, 192, 192, 3),
    ("detector", "blazeface-short"): (1, 128, 128, 3),
    ("embedder", "float"): (1, 112, 112, 3),
    ("embedder", "int8"): (1, 112, 112, 3),
    ("embedder", "int8-full"): (1, 112, 112, 3),
    ("embedder", "onnx"): (1, 112, 112, 3),
    ("mask", "fp16"): (1, 96, 96, 3),
}


def copy_of_the_pack(target: Path) -> Path:
    shutil.copytree(DEFAULT_ROOT, target, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    return target


def test_every_file_has_source_licence_and_the_hash_of_the_manifest() -> None:
    for file in load_pack(verify=True).files:
        assert file.facts["source"]
        assert file.facts["licence"] in {"MIT", "Apache-2.0"}
        assert file.path.stat().st_size == file.facts["bytes"]


@pytest.mark.parametrize(("role", "variant"), sorted(SHAPES))
def test_every_network_loads_with_the_documented_input(role: str, variant: str) -> None:
    network = load_network(PACK.path(role, variant))
    assert network.inputs[0].shape == SHAPES[role, variant]
    outputs = network.run(np.zeros(SHAPES[role, variant], np.float32))
    assert all(np.isfinite(o).all() for o in outputs)


def test_one_flipped_byte_is_found_and_named(tmp_path: Path) -> None:
    root = copy_of_the_pack(tmp_path / "pack")
    victim = root / PACK.path("mask", "fp16").name
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(bytes(data))
    with pytest.raises(ModelHashMismatch, match=r"mask_v2\.tflite.*reinstall"):
        load_pack(root)


def test_a_missing_file_is_found_and_named(tmp_path: Path) -> None:
    root = copy_of_the_pack(tmp_path / "pack")
    (root / PACK.path("mask", "fp16").name).unlink()
    with pytest.raises(ModelHashMismatch, match=r"mask_v2\.tflite"):
        load_pack(root)


def test_a_pack_without_manifest_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelPackInvalid, match="reinstall"):
        load_pack(tmp_path)


def test_an_unknown_variant_names_those_there_are() -> None:
    with pytest.raises(ModelPackInvalid, match="float, int8, int8-full, onnx"):
        PACK.path("embedder", "bf16")


def test_adapted_embeddings_are_unit_vectors() -> None:
    raw = np.random.default_rng(0).normal(size=(5, 192)).astype(np.float32)
    raw /= np.linalg.norm(raw, axis=1, keepdims=True)
    adapted = PACK.adaptation().apply(raw, "masked")
    np.testing.assert_allclose(np.linalg.norm(adapted, axis=1), 1.0, atol=1e-5)


def test_a_wrong_input_shape_is_refused() -> None:
    with pytest.raises(NetworkInvalid, match="input shape"):
        load_network(PACK.path("mask", "fp16")).run(np.zeros((1, 2, 2, 3), np.float32))


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    bad = tmp_path / "bad.tflite"
    bad.write_bytes(b"not a network")
    with pytest.raises(NetworkInvalid, match=r"bad\.tflite.*reinstall"):
        load_network(bad)


def test_the_weights_of_the_mask_classifier_stay_small() -> None:
    assert PACK.path("mask", "fp16").stat().st_size <= 300 * 1024
