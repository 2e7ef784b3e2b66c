"""Every gallery test runs embedded, over HTTP, on a cluster of one, and on a server if given one.

`SIGHTLINE_TEST_GALLERY_DSN` names a real server, `SIGHTLINE_TEST_GALLERY_CLUSTER` its cluster; each
test gets a new database there, which is dropped afterwards.
"""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.adapters.gallery.connect import connect
from tests.integration.gallery.places import CLUSTER, Endpoint, Place, with_database

GIVEN = os.environ.get("SIGHTLINE_TEST_GALLERY_DSN", "")
GIVEN_CLUSTER = os.environ.get("SIGHTLINE_TEST_GALLERY_CLUSTER", "")
KINDS = ["embedded", "http", "cluster", *(["given"] if GIVEN else [])]


@pytest.fixture(scope="package")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """Serve one engine to all tests here."""
    served = Endpoint(tmp_path_factory.mktemp("server") / "engine", ("--cluster", CLUSTER))
    served.start()
    yield served
    served.kill()


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Give an empty gallery of each kind in turn."""
    search_dir = tmp_path / "search"
    if request.param == "embedded":
        yield Place(f"chdb://{tmp_path / 'gallery'}", search_dir)
        return
    given = request.param == "given"
    server = GIVEN if given else request.getfixturevalue("endpoint").dsn()
    cluster = GIVEN_CLUSTER if given else CLUSTER if request.param == "cluster" else ""
    yield from new_database(server, search_dir, cluster)


def new_database(server: str, search_dir: Path, cluster: str = "") -> Iterator[Place]:
    """Make a database on a server and drop it afterwards."""
    name = f"sightline_test_{uuid.uuid4().hex[:12]}"
    on_cluster = f" ON CLUSTER '{cluster}'" if cluster else ""
    client = connect(server)
    client.command(f"CREATE DATABASE {name}{on_cluster}")
    try:
        yield Place(with_database(server, name), search_dir, cluster)
    finally:
        client.command(f"DROP DATABASE {name}{on_cluster} SYNC")
        client.close()
