"""Choose and load what a device's profile names: detector, embedder, mask classifier, chain."""

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from agent.errors import AgentError
from agent.models.failover import AcceleratorState, FailoverNetwork
from agent.models.network import Network
from agent.models.pack import ModelPack
from agent.models.runtime import load_network
from agent.vision.blazeface import BlazeFace
from agent.vision.centerface import CenterFace
from agent.vision.chain import VisionChain
from agent.vision.detector import Detector
from agent.vision.faces import Embedder, MaskCalibration, MaskClassifier
from agent.vision.ground import CameraCalibration
from agent.vision.motion import MotionGate
from agent.vision.tiles import TileScanner

log = logging.getLogger("agent.vision")
SIZE_STEP_PX: Final = 32
MAX_INPUT_PX: Final = 4096
ACCELERATORS: Final = ("none", "edgetpu", "cuda", "tensorrt")
_DETECTORS: Final[dict[str, Callable[[Network], Detector]]] = {
    "centerface-fp16": CenterFace,
    "centerface-int8": CenterFace,
    "blazeface-full": BlazeFace,
    "blazeface-short": BlazeFace,
}
# On an accelerator these files stand in for what the profile names; the CPU stays the fallback.
_EDGETPU: Final = {"detector": "centerface-int8-edgetpu", "embedder": "int8-full-edgetpu"}
_JETSON: Final = {"detector": "centerface-onnx", "embedder": "onnx"}


class VisionSettingsInvalid(AgentError):
    """The vision settings name something that does not exist."""


@dataclass(frozen=True, slots=True)
class VisionSettings:
    """What a device's profile chooses.

    `detector`: a variant of the pack, with `@WIDTHxHEIGHT` for another input size than 640x384
    (CenterFace only); `tiles_per_frame`: looks at full resolution on frames larger than that;
    `accelerator`: one of `ACCELERATORS`, with its state in `accelerator_state`.
    """

    detector: str = "centerface-fp16"
    embedder: str = "float"
    threads: int = 1
    mirror: bool = True
    motion_gate: bool = True
    tiles_per_frame: int = 0
    accelerator: str = "none"
    accelerator_state: AcceleratorState = field(default_factory=AcceleratorState)


def build_detector(pack: ModelPack, settings: VisionSettings) -> Detector:
    """Load the detector that the settings name; raises `VisionSettingsInvalid`."""
    name, shape = _name_and_shape(settings.detector)
    if name not in _DETECTORS:
        known = ", ".join(sorted(_DETECTORS))
        raise VisionSettingsInvalid(f"vision.detector {name!r}: use one of {known}")
    if shape is not None and not name.startswith("centerface"):
        raise VisionSettingsInvalid(f"vision.detector {settings.detector!r}: only CenterFace "
                                    "takes another size; leave out the @")  # fmt: skip
    load = partial(load_network, pack.path("detector", name), threads=settings.threads,
                   input_shape=shape)  # fmt: skip
    detector = _DETECTORS[name](_network(pack, settings, "detector", load))
    if settings.tiles_per_frame:
        return TileScanner(detector, per_frame=settings.tiles_per_frame)
    return detector


def build_embedder(pack: ModelPack, settings: VisionSettings) -> Embedder:
    """Load the embedder variant that the settings name."""
    load = partial(load_network, pack.path("embedder", settings.embedder),
                   threads=settings.threads)  # fmt: skip
    network = _network(pack, settings, "embedder", load)
    return Embedder(network, pack.adaptation(), mirror=settings.mirror)


def build_masks(pack: ModelPack, settings: VisionSettings) -> MaskClassifier:
    """Load the mask classifier with its calibration."""
    file = pack.file("mask", "fp16")
    calibration = MaskCalibration(
        scale=float(file.facts["logit_scale"]), offset=float(pack.mask["offset"]),
        temperature=float(pack.mask["temperature"]),
    )  # fmt: skip
    return MaskClassifier(load_network(file.path, threads=settings.threads), calibration)


def build_chain(
    pack: ModelPack,
    settings: VisionSettings,
    calibration: CameraCalibration | None,
    camera_id: str,
) -> VisionChain:
    """Load the networks that the settings name and join them to a chain."""
    return VisionChain(
        camera_id=camera_id,
        detector=build_detector(pack, settings),
        embedder=build_embedder(pack, settings),
        masks=build_masks(pack, settings),
        calibration=calibration,
        gate=MotionGate() if settings.motion_gate else None,
    )


def _network(
    pack: ModelPack, settings: VisionSettings, role: str, load_plain: Callable[[], Network]
) -> Network:
    if settings.accelerator not in ACCELERATORS:
        known = ", ".join(ACCELERATORS)
        raise VisionSettingsInvalid(f"vision.accelerator {settings.accelerator!r}: use {known}")
    if settings.accelerator == "none":
        return load_plain()
    state = settings.accelerator_state
    state.name = settings.accelerator
    return FailoverNetwork(
        load_fast=partial(_on_accelerator, pack, settings, role), load_plain=load_plain,
        state=state, now_s=time.monotonic,
    )  # fmt: skip


def _on_accelerator(pack: ModelPack, settings: VisionSettings, role: str) -> Network:
    variants = _EDGETPU if settings.accelerator == "edgetpu" else _JETSON
    path = pack.path(role, variants[role])
    return load_network(path, threads=settings.threads, device=settings.accelerator)


def _name_and_shape(detector: str) -> tuple[str, tuple[int, ...] | None]:
    name, at, size = detector.partition("@")
    if not at:
        return name, None
    found = re.fullmatch(r"(\d{2,4})x(\d{2,4})", size)
    sides = [int(n) for n in found.groups()] if found else []
    if not sides or any(n % SIZE_STEP_PX or not 0 < n <= MAX_INPUT_PX for n in sides):
        raise VisionSettingsInvalid(
            f"vision.detector {detector!r}: give the size as @WIDTHxHEIGHT, both multiples of "
            f"{SIZE_STEP_PX}, for example @960x544"
        )
    return name, (1, sides[1], sides[0], 3)
