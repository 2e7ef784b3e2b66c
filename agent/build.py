"""The one place where the agent's concrete parts are chosen and joined."""

from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from agent.cameras.build import open_camera
from agent.clock import Clock, SystemClock
from agent.cohort import CohortCounter
from agent.config import AgentConfig
from agent.evidence import EvidenceDesk, HttpUploader
from agent.identity import DeviceIdentity, IdentityInvalid, controller_key, load_identity
from agent.keys import KeyRing
from agent.link import Link
from agent.models.pack import ModelPack, load_pack
from agent.publisher import Publisher
from agent.queries import Geometry, QueryDesk
from agent.runner import Runner
from agent.store import Store
from agent.vision.build import (
    VisionSettings,
    build_chain,
    build_detector,
    build_embedder,
)
from agent.vision.ground import (
    HEAD_HEIGHT_M,
    HEAD_HEIGHT_SD_M,
    CameraCalibration,
    load_calibration,
)
from wire.messages import AgentState

STORE_FILE: Final = "store.sqlite"
AUDIT_FILE: Final = "audit.jsonl"


def vision_settings(config: AgentConfig) -> VisionSettings:
    """Take the vision chain's settings out of the configuration."""
    return VisionSettings(
        detector=config.vision.detector, embedder=config.vision.embedder,
        threads=config.vision.threads, mirror=config.vision.mirror,
        accelerator=config.vision.accelerator, motion_gate=config.vision.motion_gate,
        tiles_per_frame=config.vision.tiles_per_frame,
    )  # fmt: skip


def calibration_of(config: AgentConfig) -> CameraCalibration | None:
    """Load the camera's calibration, if it has one."""
    path = config.camera.calibration_file
    return None if path is None else load_calibration(path)


def own_identity(config: AgentConfig) -> DeviceIdentity:
    """Load the device's keys and check that they are of this agent and camera."""
    identity = load_identity(config.agent.data_dir)
    for field, mine, named in (
        ("agent.id", identity.agent_id, config.agent.id),
        ("camera.id", identity.camera_id, config.camera.id),
    ):
        if mine != named:
            raise IdentityInvalid(
                f"{field} {named!r}: this box was initialised as {mine!r}; mend the configuration"
            )
    return identity


def build_runner(config: AgentConfig, clock: Clock | None = None) -> Runner:
    """Join a whole agent; raises `AgentError` naming the key if something does not fit."""
    clock = clock or SystemClock()
    identity, pack = own_identity(config), load_pack(config.vision.pack_dir)
    controller = controller_key(config.controller.signing_public_b64)
    settings, calibration = vision_settings(config), calibration_of(config)
    store = Store(config.agent.data_dir / STORE_FILE, identity.store_key)
    keys = KeyRing(store, identity.sealing)
    evidence = EvidenceDesk(
        detector=partial(build_detector, pack, settings),
        embedder=partial(build_embedder, pack, settings),
        keys=keys, uploader=HttpUploader(config.evidence.ca_file), id_key=identity.id_key,
    )  # fmt: skip
    desk = QueryDesk(
        identity=identity, controller=controller, store=store, clock=clock,
        geometry=_geometry(calibration), space_id=pack.space_id, evidence=evidence,
        audit_file=config.agent.data_dir / AUDIT_FILE,
    )  # fmt: skip
    publisher = Publisher(
        identity=identity, store=store, keys=keys, clock=clock, space_id=pack.space_id,
        variant=variant_of(config), quality_floor=config.vision.publish_quality_floor,
        spool_max_bytes=config.limits.spool_max_bytes,
    )  # fmt: skip
    link = Link(
        broker=config.broker, identity=identity, controller=controller, store=store,
        make_state=partial(_state, config, pack, clock, calibration),
    )  # fmt: skip
    return Runner(
        agent_id=identity.agent_id, clock=clock, store=store, keys=keys, link=link, desk=desk,
        publisher=publisher, cohort=CohortCounter(store), controller=controller,
        make_chain=partial(build_chain, pack, settings, calibration, identity.camera_id),
        open_camera=partial(open_camera, config.camera, clock),
        source_is_file=config.camera.source.startswith("file:"),
        health_every_s=config.agent.health_every_s,
        ring_us=round(config.evidence.ring_hours * 3600 * 1e6),
        store_max_bytes=config.limits.store_max_bytes,
        accelerator=settings.accelerator_state,
    )  # fmt: skip


def variant_of(config: AgentConfig) -> str:
    """Name what selects the calibration of this box's templates."""
    mirror = "mirror" if config.vision.mirror else "plain"
    return f"{config.vision.embedder}-{config.vision.detector}-{mirror}"


def software_version() -> str:
    """Return the installed version of this distribution."""
    try:
        return version("sightline")
    except PackageNotFoundError:
        return "unknown"


def _geometry(calibration: CameraCalibration | None) -> Geometry:
    if calibration is None:
        return Geometry(None, None, None)
    return Geometry(calibration.height_m, HEAD_HEIGHT_M, HEAD_HEIGHT_SD_M)


def _state(
    config: AgentConfig, pack: ModelPack, clock: Clock, calibration: CameraCalibration | None,
    online: bool, bd_seq: int,
) -> AgentState:  # fmt: skip
    return AgentState(
        agent_id=config.agent.id, online=online, bd_seq=bd_seq, since_us=clock.now_us(),
        camera_id=config.camera.id,
        calibration_id=None if calibration is None else calibration.id[:64],
        model_pack_id=pack.id, space_id=pack.space_id, variant=variant_of(config),
        version=software_version(), device=config.agent.device,
    )  # fmt: skip
