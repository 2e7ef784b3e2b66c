"""A controller with cases, keys and sightings, and a folder for its backups."""

from collections.abc import Iterator
from pathlib import Path

import clickhouse_connect
import pytest

from tests.integration.backup.town import Town


@pytest.fixture(scope="package")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the DSN of one engine for all tests here: each start of chDB leaves threads behind."""
    dsn = f"chdb://{tmp_path_factory.mktemp('engine') / 'gallery'}"
    client = clickhouse_connect.get_client(dsn=dsn)
    yield dsn
    client.close()


@pytest.fixture
def town(tmp_path: Path, engine: str) -> Iterator[Town]:
    client = clickhouse_connect.get_client(dsn=engine)
    for table in ("sightings", "schema_version"):
        client.command(f"DROP TABLE IF EXISTS {table} SYNC")
    client.close()
    made = Town(tmp_path, engine)
    yield made
    made.close()
