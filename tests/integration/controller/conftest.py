"""One controller per test, in its own directory."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.controller.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Give a controller with people and cameras."""
    made = World(tmp_path / "controller")
    yield made
    made.close()
