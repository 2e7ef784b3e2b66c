"""The controller's configuration file: TOML, checked as a whole, one-line errors."""

import json
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from controller.errors import ControllerError

FILE_NAME: Final = "controller.toml"
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
Port = Annotated[int, Field(ge=1, le=65_535)]


class ConfigInvalid(ControllerError):
    """The configuration cannot be used; the message names the key and the mend."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ControllerSection(_Section):
    """Where the controller keeps its keys, records, gallery and evidence."""

    data_dir: Path
    log_level: str = "INFO"


class ApiSection(_Section):
    """Where the API listens; `public_url` is what agents upload to."""

    host: str = "127.0.0.1"
    port: Port = 8470
    public_url: str | None = None
    tls_cert_file: Path | None = None
    tls_key_file: Path | None = None

    @property
    def base_url(self) -> str:
        """The URL under which agents and people reach this API, without a slash at its end."""
        scheme = "https" if self.tls_cert_file else "http"
        return (self.public_url or f"{scheme}://{self.host}:{self.port}").rstrip("/")

    @model_validator(mode="after")
    def _https_outside_loopback(self) -> "ApiSection":
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("tls_cert_file and tls_key_file belong together: give both")
        if self.host not in _LOOPBACK and not self.base_url.startswith("https://"):
            raise ValueError("outside loopback set public_url to an https:// address")
        return self


class BrokerSection(_Section):
    """The MQTT broker; plain connections only to this machine."""

    host: str = "127.0.0.1"
    port: Port = 1883
    tls: bool = False
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    username: str | None = None
    password_file: Path | None = None
    client_id: str = "sightline-controller"

    @model_validator(mode="after")
    def _tls_outside_loopback(self) -> "BrokerSection":
        if not self.tls and self.host not in _LOOPBACK:
            raise ValueError(f"tls = false is only allowed for this machine, not {self.host}")
        return self


class GallerySection(_Section):
    """Where the gallery is: `chdb:///abs/path` or a ClickHouse DSN; empty: in data_dir.

    `cluster`: the name of a ClickHouse cluster to spread the tables over. `search_dir`: where the
    search files lie (243 bytes a sighting, on a fast disk); empty: in data_dir.
    """

    dsn: str = ""
    cluster: str | None = None
    search_dir: Path | None = None


class RecordsSection(_Section):
    """Where the records are: any SQLAlchemy DSN; empty: SQLite in data_dir."""

    dsn: str = ""


class IngestSection(_Section):
    """Who receives and verifies sightings: `workers` processes, or with 0 this one."""

    workers: Annotated[int, Field(ge=0, le=16)] = 0


class DiskSection(_Section):
    """Below which room on a disk ingest holds back: the lesser of the two."""

    min_free_mb: Annotated[float, Field(ge=0)] = 1_024.0
    min_free_percent: Annotated[float, Field(ge=0, le=50)] = 2.0


class RetentionSection(_Section):
    """How long sightings, and the epoch keys that give them meaning, are kept."""

    sightings_days: Annotated[int, Field(ge=1, le=60)] = 14


class BudgetSection(_Section):
    """How far one investigation may reach into the fleet, and how long it waits."""

    max_gap_agents: Annotated[int, Field(ge=0, le=1_000)] = 3
    max_agents_per_case: Annotated[int, Field(ge=1, le=10_000)] = 50
    false_candidates_per_day: Annotated[float, Field(gt=0, le=10_000)] = 20.0
    reply_timeout_s: Annotated[float, Field(gt=0, le=3_600)] = 60.0
    query_ttl_s: Annotated[float, Field(gt=0, le=86_400)] = 600.0
    max_pictures_per_query: Annotated[int, Field(ge=0, le=64)] = 6


class EnrollerSection(_Section):
    """The separate process that turns a photo (stdin) into a probe (JSON on stdout)."""

    command: tuple[str, ...] = (
        sys.executable, "-m", "agent.cli", "vision", "embed", "-",
    )  # fmt: skip
    timeout_s: Annotated[float, Field(gt=0, le=600)] = 60.0


class Config(_Section):
    """Everything the controller needs to know at start."""

    controller: ControllerSection
    api: ApiSection = ApiSection()
    broker: BrokerSection = BrokerSection()
    gallery: GallerySection = GallerySection()
    records: RecordsSection = RecordsSection()
    ingest: IngestSection = IngestSection()
    disk: DiskSection = DiskSection()
    retention: RetentionSection = RetentionSection()
    budget: BudgetSection = BudgetSection()
    enroller: EnrollerSection = EnrollerSection()

    @property
    def data_dir(self) -> Path:
        """The data directory, absolute."""
        return self.controller.data_dir.absolute()

    @property
    def keys_dir(self) -> Path:
        """Where signing.key and master.key lie."""
        return self.data_dir / "keys"

    @property
    def records_dsn(self) -> str:
        """The records' DSN with its default filled in."""
        return self.records.dsn or f"sqlite:///{self.data_dir / 'records.sqlite'}"

    @property
    def gallery_dsn(self) -> str:
        """The gallery's DSN with its default filled in."""
        return self.gallery.dsn or f"chdb://{self.data_dir / 'gallery'}"

    @property
    def search_dir(self) -> Path:
        """Where the gallery's search files lie."""
        return self.gallery.search_dir or self.data_dir / "gallery-search"


def load_config(path: Path) -> Config:
    """Read and check a configuration file; raises `ConfigInvalid` naming the key.

    A relative `data_dir` is taken from the file's own folder.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigInvalid(
            f"config: cannot read {path} ({error.strerror}); make one with "
            "`sightline controller init --data-dir DIR`"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigInvalid(f"config: {path} is not TOML ({error}); mend that line") from None
    return parse_config(raw, base=path.absolute().parent)


def parse_config(raw: dict[str, Any], *, base: Path) -> Config:
    """Check configuration values; `base` is where a relative data_dir starts."""
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        raise ConfigInvalid(_first_fault(error)) from None
    absolute = (base / config.controller.data_dir).absolute()
    section = config.controller.model_copy(update={"data_dir": absolute})
    return config.model_copy(update={"controller": section})


def default_toml(
    *, api_host: str, api_port: int, broker_host: str, broker_port: int, broker_tls: bool
) -> str:
    """Return the text of a new configuration file that lies inside its own data directory."""
    sections: dict[str, dict[str, object]] = {
        "controller": {"data_dir": "."},
        "api": {"host": api_host, "port": api_port},
        "broker": {"host": broker_host, "port": broker_port, "tls": broker_tls},
        "retention": {"sightings_days": 14},
        "budget": {"max_gap_agents": 3, "max_agents_per_case": 50},
    }
    return _toml(sections)


def to_toml(config: Config) -> str:
    """Return the text of a configuration file that says what differs from the defaults.

    It is meant for the data directory, so `data_dir` is the file's own folder.
    """
    sections = config.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
    sections["controller"]["data_dir"] = "."
    return _toml(sections)


def _toml(sections: Mapping[str, Mapping[str, object]]) -> str:
    lines = []
    for name, values in sections.items():
        lines.append(f"[{name}]")
        # JSON's strings, numbers, booleans and their lists are valid TOML too.
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
        lines.append("")
    return "\n".join(lines)


def _first_fault(error: ValidationError) -> str:
    # Values are not echoed: one of them may be a password in a DSN.
    fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in fault["loc"]) or "config"
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        message = "is not a setting; remove it or mend its spelling"
    return f"{where}: {message}"
