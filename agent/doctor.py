"""`sightline-agent doctor`: is this box fit for work, and if not, what mends it?"""

import shutil
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Final, Literal

import numpy as np

from agent.build import calibration_of, own_identity, vision_settings
from agent.cameras.build import open_camera
from agent.clock import Clock
from agent.config import AgentConfig
from agent.errors import AgentError
from agent.identity import controller_key
from agent.link import probe_tls
from agent.models.pack import load_pack
from agent.models.runtime import runtime_name
from agent.vision.build import (
    build_chain,
)
from agent.vision.types import Frame

MIN_FREE_BYTES: Final = 512 << 20
EARLIEST_US: Final = 1_735_689_600_000_000
"""2025-01-01: a clock before this has not been set since the box was switched on."""
BLACK_BELOW: Final = 8.0
Verdict = Literal["pass", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Check:
    """One finding: what was looked at, the verdict, what was seen, and the mend."""

    name: str
    verdict: Verdict
    seen: str
    mend: str = ""

    def as_json(self) -> dict[str, str]:
        """Return the finding as plain text fields."""
        return asdict(self)


def examine(config: AgentConfig, clock: Clock) -> Iterator[Check]:
    """Run every check in turn; none stops the others."""
    checks: tuple[tuple[str, Callable[[AgentConfig, Clock], Check]], ...] = (
        ("identity", _identity),
        ("clock", _clock),
        ("models", _models),
        ("camera", _camera),
        ("calibration", _calibration),
        ("disk", _disk),
        ("broker", _broker),
    )
    for name, check in checks:
        try:
            yield check(config, clock)
        except AgentError as error:
            message, _, mend = str(error).rpartition("; ")
            yield Check(name, "fail", message or str(error), mend)


def _identity(config: AgentConfig, _clock: Clock) -> Check:
    identity = own_identity(config)
    controller_key(config.controller.signing_public_b64)
    return Check("identity", "pass", f"keys of {identity.agent_id} and the controller are there")


def _clock(_config: AgentConfig, clock: Clock) -> Check:
    if clock.now_us() < EARLIEST_US:
        return Check("clock", "fail", "the clock was never set", "set the time (chrony) first")
    return Check("clock", "pass", "the clock has been set")


def _models(config: AgentConfig, clock: Clock) -> Check:
    pack = load_pack(config.vision.pack_dir)
    settings = vision_settings(config)
    chain = build_chain(pack, settings, None, config.camera.id)
    noise = np.random.default_rng(0).integers(0, 255, (720, 1280, 3), np.uint8)
    start = time.perf_counter()
    chain.process(Frame(noise, clock.now_us(), 0.0, 0))
    took_ms = (time.perf_counter() - start) * 1000
    accelerator = settings.accelerator_state
    if not accelerator.working:
        return Check("models", "warn",
                     f"{accelerator.name} does not work, a frame in {took_ms:.0f} ms on the CPU",
                     "plug in the accelerator and install its driver")  # fmt: skip
    return Check("models", "pass", f"{pack.id} on {runtime_name()}, a frame in {took_ms:.0f} ms")


def _camera(config: AgentConfig, clock: Clock) -> Check:
    source = open_camera(config.camera.model_copy(update={"pace": "fast"}), clock)
    try:
        frame = next(source.frames(), None)
    finally:
        source.close()
    if frame is None:
        return Check("camera", "fail", "no picture came", "check the cable and the lens cap")
    height, width = frame.image_rgb.shape[:2]
    if float(frame.image_rgb.mean()) < BLACK_BELOW:
        return Check("camera", "fail", "the picture is black", "take off the lens cap, add light")
    return Check("camera", "pass", f"{width}x{height} with timestamps")


def _calibration(config: AgentConfig, _clock: Clock) -> Check:
    calibration = calibration_of(config)
    if calibration is None:
        return Check("calibration", "warn", "none: no distances from this camera",
                     "calibrate the camera")  # fmt: skip
    return Check("calibration", "pass", f"camera {calibration.height_m:.2f} m above the ground")


def _disk(config: AgentConfig, _clock: Clock) -> Check:
    free = shutil.disk_usage(config.agent.data_dir).free
    if free < MIN_FREE_BYTES:
        return Check("disk", "fail", f"{free >> 20} MiB free", "free space on the data disk")
    return Check("disk", "pass", f"{free >> 20} MiB free")


def _broker(config: AgentConfig, _clock: Clock) -> Check:
    broker = config.broker
    try:
        socket.create_connection((broker.host, broker.port), timeout=5).close()
    except OSError as error:
        return Check("broker", "fail", f"{broker.host}:{broker.port}: {error}",
                     "check broker.host, broker.port and the network")  # fmt: skip
    if broker.tls and (reason := probe_tls(broker)):
        return Check("broker", "fail", reason, "provision the certificates again")
    return Check("broker", "pass", f"{broker.host}:{broker.port} answers")
