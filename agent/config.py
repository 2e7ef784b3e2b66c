"""The agent's configuration file (TOML): every key, its bounds and its default."""

import tomllib
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from agent.errors import AgentError

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class ConfigInvalid(AgentError):
    """The configuration cannot be used."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AgentSection(_Section):
    """Who this box is and where it keeps its data."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    data_dir: Path
    device: str = "generic-x86"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    health_every_s: Annotated[float, Field(gt=0, le=3600)] = 10.0


class ControllerSection(_Section):
    """The one controller whose signature this box obeys."""

    signing_public_b64: str


class BrokerSection(_Section):
    """Where the broker is. Plaintext is only allowed on loopback."""

    host: str
    port: Annotated[int, Field(ge=1, le=65535)]
    tls: bool = True
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    username: str | None = None
    password_file: Path | None = None

    @model_validator(mode="after")
    def _no_plaintext_outside(self) -> Self:
        if not self.tls and self.host not in LOOPBACK:
            raise ValueError("tls = false is only allowed for a broker on loopback")
        if self.tls and self.ca_file is None:
            raise ValueError("ca_file is needed with tls = true")
        return self


class CameraSection(_Section):
    """The camera: a file, RTSP stream, USB device or CSI module."""

    id: Annotated[str, Field(min_length=1, max_length=64)]
    source: str
    start_utc: datetime | None = None
    pace: Literal["fast", "realtime"] = "realtime"
    calibration_file: Path | None = None
    time_uncertainty_s: Annotated[float, Field(ge=0, le=60)] = 0.5

    @model_validator(mode="after")
    def _file_needs_a_start(self) -> Self:
        if urlsplit(self.source).scheme not in {"file", "rtsp", "rtsps", "usb", "csi"}:
            raise ValueError("source must start with file:, rtsp://, usb: or csi:")
        if self.source.startswith("file:") and self.start_utc is None:
            raise ValueError("start_utc is needed for a file")
        if self.start_utc is not None and self.start_utc.tzinfo is None:
            raise ValueError("start_utc needs a time zone, for example 2026-03-01T09:00:00Z")
        return self


class VisionSection(_Section):
    """Which networks this device runs."""

    detector: str = "centerface-fp16"
    embedder: Literal["float", "int8"] = "float"
    accelerator: Literal["none", "edgetpu", "cuda", "tensorrt"] = "none"
    pack_dir: Path | None = None
    tiles_per_frame: Annotated[int, Field(ge=0, le=16)] = 0
    motion_gate: bool = True
    publish_quality_floor: Annotated[float, Field(ge=0, le=1)] = 0.05
    threads: Annotated[int, Field(ge=1, le=16)] = 1
    mirror: bool = True


class EvidenceSection(_Section):
    """How long and how much the box remembers, and how it reaches the evidence endpoint."""

    ring_hours: Annotated[float, Field(gt=0, le=24 * 60)] = 24 * 14
    ca_file: Path | None = None


class LimitsSection(_Section):
    """Bounds of the disk use."""

    spool_max_bytes: Annotated[int, Field(ge=1 << 16)] = 256 << 20
    store_max_bytes: Annotated[int, Field(ge=1 << 20)] = 4 << 30


class AgentConfig(_Section):
    """The whole file."""

    agent: AgentSection
    controller: ControllerSection
    broker: BrokerSection
    camera: CameraSection
    vision: VisionSection = VisionSection()
    evidence: EvidenceSection = EvidenceSection()
    limits: LimitsSection = LimitsSection()


def load_config(path: Path) -> AgentConfig:
    """Read and check a configuration; raises `ConfigInvalid` naming the key."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigInvalid(f"config {path}: {error.strerror}; give a readable file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigInvalid(f"config {path}: not TOML ({error}); mend that line") from None
    try:
        return AgentConfig.model_validate(raw)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in fault["loc"]) or "file"
        raise ConfigInvalid(f"config {where}: {fault['msg']}; mend it in {path}") from None
