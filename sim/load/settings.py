"""What one load process is told: one line of JSON, made by the parent, read by the process."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from sim.errors import SimError
from sim.load.demand import DemandSettings
from sim.load.faults import FaultSettings
from wire.limits import MAX_SIGHTINGS_PER_BATCH


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """Where the broker is and how boxes log in.

    `username` may hold `{agent}`, which becomes each box's id. Without `tls` the broker must be
    on this machine. `sources`: local addresses to connect from; none lets the system choose.
    """

    host: str = "127.0.0.1"
    port: int = 1883
    tls: bool = False
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    username: str | None = None
    password_file: Path | None = None
    keepalive_s: int = 60
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """Who the boxes are: numbers `first` to `first + count - 1` of the secret's fleet."""

    secret_file: Path
    controller_key_b64: str
    cohort_file: Path
    space_id: str
    variant: str
    model_pack_id: str
    first: int = 1
    count: int = 1


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """A whole load, or one process's share of it.

    `total`: boxes of all processes; `connect_per_s`: first connections of this process a second.
    `ledger_dir`: a folder for the ids of all sightings, or none.
    """

    fleet: FleetSettings
    broker: BrokerSettings = field(default_factory=BrokerSettings)
    demand: DemandSettings = field(default_factory=DemandSettings)
    faults: FaultSettings = field(default_factory=FaultSettings)
    total: int = 1
    batch: int = MAX_SIGHTINGS_PER_BATCH
    linger_s: float = 0.25
    health_s: float = 60.0
    connect_per_s: float = 500.0
    checked_share: float = 1.0
    seed: int = 7
    ledger_dir: Path | None = None

    def check(self) -> None:
        """Raise `SimError` naming the first value that cannot be."""
        self.faults.check()
        self.demand.demand(self.total)
        if not 1 <= self.batch <= MAX_SIGHTINGS_PER_BATCH:
            raise SimError(f"batch: {self.batch} is not 1 to {MAX_SIGHTINGS_PER_BATCH}")
        if not 0.0 <= self.checked_share <= 1.0:
            raise SimError(f"checked_share: {self.checked_share} is no share; give 0 to 1")
        for name in ("linger_s", "health_s", "connect_per_s"):
            if getattr(self, name) <= 0:
                raise SimError(f"{name}: {getattr(self, name)} must be above 0")


_ADAPTER: Final = TypeAdapter(LoadSettings)


def to_line(settings: LoadSettings) -> bytes:
    """Return the settings as one line of JSON."""
    return _ADAPTER.dump_json(settings) + b"\n"


def from_line(line: bytes) -> LoadSettings:
    """Read what `to_line` gave; raises `SimError` naming the field."""
    try:
        return _ADAPTER.validate_json(line)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in fault["loc"]) or "settings"
        raise SimError(f"{where}: {fault['msg']}") from None
