"""Small towns of real processes that faults are done to, and the count afterwards."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from controller.adapters.gallery import Gallery
from controller.config import load_config
from sim.broker import BrokerSettings
from sim.demo.office import Desk, Person
from sim.demo.town import Town, TownSettings
from sim.demo.truth import TruthCamera

TECHNICIAN = Person.invent("tom", "technician")


@contextmanager
def running_town(
    directory: Path,
    *,
    cameras: tuple[TruthCamera, ...] = (),
    light_agents: int = 0,
    broker: BrokerSettings | None = None,
    spread_s: float = 8.0,
) -> Iterator[Town]:
    """Give a town whose agents have just been started; everything is stopped at the end."""
    settings = TownSettings(
        directory=directory / "work",
        log_dir=directory / "logs",
        day=(datetime.now(UTC) - timedelta(days=1)).date(),
        light_agents=light_agents,
        light_spread_s=spread_s,
        light_batch_size=4,
        broker=broker,
    )
    town = Town(cameras, settings)
    try:
        town.broker.start()
        town.office.initialise(town.broker.port)
        town.office.add_person(TECHNICIAN)
        town.office.start()
        rows = town.prepare_agents()
        desk(town).register(rows)
        town.start_watch()
        town.start_light()
        town.start_boxes()
        yield town
    finally:
        town.stop()


def desk(town: Town) -> Desk:
    """Log the technician in."""
    return town.office.log_in(TECHNICIAN)


def wait_until(holds: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
    """Wait until something holds; the test fails with its name if it does not come."""
    deadline_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline_s, f"waited {timeout_s:.0f} s for: {what}"
        time.sleep(0.1)


def assert_exactly_once(town: Town) -> None:
    """Stop the town and compare the gallery with what the agents made, id by id."""
    town.stop()
    made = ids_made(town)
    gallery = Gallery.open(load_config(town.office.data_dir / "controller.toml").gallery_dsn)
    try:
        assert gallery.ids() == made
        assert gallery.count() == len(made) > 0
    finally:
        gallery.close()


def ids_made(town: Town) -> set[UUID]:
    """Return the ids that boxes (from their stores) and light agents (from their ledger) made."""
    made: set[UUID] = set()
    for box in town.boxes:
        made |= ids_in_store(box.data_dir / "store.sqlite")
    if town.light_ledger.exists():
        made |= {UUID(hex=line) for line in town.light_ledger.read_text().split()}
    return made


def ids_in_store(path: Path) -> set[UUID]:
    """Return the ids of the tracklets that a box has published."""
    query = "SELECT id FROM tracklets WHERE state = 'spooled'"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as store:
        return {UUID(bytes=row[0]) for row in store.execute(query)}
