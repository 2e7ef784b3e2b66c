"""One adapter, several runtimes: the same picture gives the same answer, and a loss is survived."""

import logging
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.models.failover import RETRY_AFTER_S, AcceleratorState, FailoverNetwork
from agent.models.network import (
    F32,
    Network,
    NetworkFailed,
    NetworkInvalid,
    RuntimeUnavailable,
    TensorInfo,
)
from agent.models.pack import load_pack
from agent.models.runtime import load_network
from agent.vision.build import VisionSettings, VisionSettingsInvalid, build_detector

PACK = load_pack()
SCENE = np.random.default_rng(0).uniform(0, 255, (1, 384, 640, 3)).astype(np.float32)
FACE = np.random.default_rng(1).uniform(-1, 1, (1, 112, 112, 3)).astype(np.float32)


def test_the_detector_gives_the_same_maps_on_both_runtimes() -> None:
    ours, theirs = (
        load_network(PACK.path("detector", v)).run(SCENE)
        for v in ("centerface-fp16", "centerface-onnx")
    )
    for left, right in zip(ours, theirs, strict=True):
        assert left.shape == right.shape
        np.testing.assert_allclose(left, right, atol=0.05, rtol=0.02)


@pytest.mark.parametrize(("variant", "least"), [("onnx", 0.9999), ("int8", 0.995)])
def test_the_embedder_gives_the_same_vector_on_both_runtimes(variant: str, least: float) -> None:
    vectors = [load_network(PACK.path("embedder", v)).run(FACE)[0][0] for v in ("float", variant)]
    units = [v / np.linalg.norm(v) for v in vectors]
    assert float(units[0] @ units[1]) > least


def test_another_input_size_runs_from_the_same_file() -> None:
    network = load_network(PACK.path("detector", "centerface-fp16"), input_shape=(1, 544, 960, 3))
    maps = network.run(np.zeros((1, 544, 960, 3), np.float32))
    assert maps[0].shape[1:3] == (136, 240)


@pytest.mark.parametrize(
    ("device", "variant"),
    [("edgetpu", "centerface-int8"), ("cuda", "centerface-onnx"), ("cuda", "centerface-fp16")],
)
def test_a_missing_accelerator_is_named(device: str, variant: str) -> None:
    with pytest.raises(RuntimeUnavailable, match=f"accelerator {device}"):
        load_network(PACK.path("detector", variant), device=device)


@pytest.mark.parametrize("name", ["centerface-x", "blazeface-full@320x192", "centerface-fp16@1x1"])
def test_a_wrong_detector_is_refused_with_the_mend(name: str) -> None:
    with pytest.raises(VisionSettingsInvalid, match=r"vision\.detector"):
        build_detector(PACK, VisionSettings(detector=name))


@pytest.mark.parametrize("accelerator", ["edgetpu", "tensorrt"])
def test_a_box_without_its_accelerator_still_sees(
    accelerator: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = VisionSettings(accelerator=accelerator)
    with caplog.at_level(logging.WARNING):
        detector = build_detector(PACK, settings)
    assert detector.detect(np.zeros((384, 640, 3), np.uint8), threshold=0.5) == []
    assert settings.accelerator_state.name == accelerator
    assert not settings.accelerator_state.working
    assert "running on the CPU" in caplog.text


class Scripted:
    """A network that answers with a number until it is told to fail."""

    def __init__(self, answer: float) -> None:
        self.answer, self.broken = answer, False
        self.inputs = (TensorInfo("x", (1,), "float32"),)
        self.outputs = (TensorInfo("y", (1,), "float32"),)

    def run(self, *_arrays: NDArray[np.float32]) -> list[F32]:
        if self.broken:
            raise NetworkFailed("the stick is gone")
        return [np.array([self.answer], np.float32)]


class Bench:
    """A failover network with a scripted accelerator, CPU and clock."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.stick, self.cpu = Scripted(1.0), Scripted(2.0)
        self.state = AcceleratorState("edgetpu")
        self.network = FailoverNetwork(
            load_fast=self.plug(lambda: self.stick), load_plain=lambda: self.cpu,
            state=self.state, now_s=lambda: self.now_s,
        )  # fmt: skip

    def plug(self, load: Callable[[], Network]) -> Callable[[], Network]:
        def loaded() -> Network:
            if self.stick.broken:
                raise NetworkInvalid("no stick")
            return load()

        return loaded

    def answer(self) -> float:
        return float(self.network.run(np.zeros(1, np.float32))[0][0])


def test_the_inference_that_lost_the_accelerator_is_repeated_on_the_cpu() -> None:
    bench = Bench()
    assert bench.answer() == 1.0
    bench.stick.broken = True
    assert bench.answer() == 2.0
    assert (bench.state.working, bench.state.faults_total) == (False, 1)


def test_the_accelerator_is_tried_again_but_not_at_every_frame() -> None:
    bench = Bench()
    bench.stick.broken = True
    bench.answer()
    bench.stick.broken = False
    bench.now_s = RETRY_AFTER_S - 1
    assert bench.answer() == 2.0
    bench.now_s = RETRY_AFTER_S + 1
    assert bench.answer() == 1.0
    assert (bench.state.working, bench.state.faults_total) == (True, 1)


def test_a_cpu_that_fails_is_not_hidden() -> None:
    bench = Bench()
    bench.stick.broken = bench.cpu.broken = True
    with pytest.raises(NetworkFailed):
        bench.answer()
