"""What a worker must know, as one JSON text that the owner sends it first."""

from typing import Final

from pydantic import BaseModel, ConfigDict

from controller.config import BrokerSection, Config
from wire.topics import every_agent

SHARED_SIGHTINGS: Final = every_agent("sightings", share_group="sightline-ingest")


class WorkerSettings(BaseModel):
    """Settings of one worker, without any key; a DSN may hold a password, the socket is private."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    client_id: str
    broker: BrokerSection
    records_dsn: str
    spaces: frozenset[str]
    retention_days: int
    log_level: str


def worker_client_id(config: Config, number: int) -> str:
    """Return the MQTT client id of a worker; the same after each start, so is its session."""
    return f"{config.broker.client_id}-ingest-{number}"


def worker_settings(config: Config, spaces: frozenset[str]) -> list[bytes]:
    """Return the settings of each configured worker."""
    return [
        WorkerSettings(
            client_id=worker_client_id(config, number),
            broker=config.broker,
            records_dsn=config.records_dsn,
            spaces=spaces,
            retention_days=config.retention.sightings_days,
            log_level=config.controller.log_level,
        ).model_dump_json().encode()
        for number in range(config.ingest.workers)
    ]  # fmt: skip


def read_settings(text: bytes) -> WorkerSettings:
    """Return the settings that the owner sent."""
    return WorkerSettings.model_validate_json(text)
