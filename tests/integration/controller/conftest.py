"""One controller per test, in its own directory."""

from collections.abc import Iterator
from pathlib import Path

import clickhouse_connect
import pytest

from tests.integration.controller.world import World


@pytest.fixture(scope="package")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the DSN of one engine for all tests here.

    Each time that chDB starts and stops in a process it leaves threads and open files behind; one
    open connection keeps it from stopping.
    """
    dsn = f"chdb://{tmp_path_factory.mktemp('engine') / 'gallery'}"
    client = clickhouse_connect.get_client(dsn=dsn)
    yield dsn
    client.close()


@pytest.fixture
def world(tmp_path: Path, engine: str) -> Iterator[World]:
    """Give a controller with people and cameras, and an empty gallery."""
    client = clickhouse_connect.get_client(dsn=engine)
    for table in ("sightings", "schema_version"):
        client.command(f"DROP TABLE IF EXISTS {table} SYNC")
    client.close()
    made = World(tmp_path / "controller", gallery_dsn=engine)
    yield made
    made.close()
