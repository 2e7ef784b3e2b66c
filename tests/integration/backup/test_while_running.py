"""Backups while sightings come in: cursors never claim what the copy of the gallery lacks."""

import threading
from uuid import UUID

from controller.adapters.backup.create import Watch
from controller.services.ports import Cursor
from tests.integration.backup.town import RECIPIENT, SALT, Town
from tests.integration.controller.world import PEOPLE, error_of
from tests.integration.ingest.boxes import wait_for

ORDER = {"recipient": RECIPIENT, "salt": SALT}


def test_a_cursor_never_claims_what_the_restored_gallery_lacks(town: Town) -> None:
    stored: list[set[str]] = []
    stop = threading.Event()

    def feed() -> None:
        # As ingest does it: the rows first, then the cursor.
        while not stop.is_set() and len(stored) < 2_000:
            rows = town.see(20, shard=len(stored) % 3)
            stored.append({str(row.id) for row in rows})
            town.cursors.advance([Cursor("box-1", "sightings", UUID(int=1), len(stored))])

    thread = threading.Thread(target=feed)
    thread.start()
    wait_for(lambda: len(stored) > 20)
    before = len(stored)
    began = []

    def tell(step: str, _done: int, _total: int) -> None:
        # Let some come between the records and the gallery.
        began.append(step)
        if began.count("gallery") == 1:
            wait_for(lambda: len(stored) > before + 10)

    town.back_up(Watch(tell=tell))
    stop.set()
    thread.join()
    back = town.restored()
    acked = back["cursors"]["box-1"]
    assert before <= acked < len(stored)
    assert set().union(*stored[:acked]) <= set(back["ids"])
    assert back["differences"] == []


def test_the_running_controller_makes_backups_for_administrators_only(town: Town) -> None:
    town.see(50)
    world, directory = town.world, str(town.backups.root)
    for who, role in PEOPLE.items():
        if role != "administrator":
            body = {"directory": directory, **ORDER}
            assert world.request(who, "POST", "/v1/backup", json=body).status_code == 403
            assert world.request(who, "GET", "/v1/backup").status_code == 403
    started = world.request("sam", "POST", "/v1/backup", json={"directory": directory, **ORDER})
    assert started.status_code == 202, started.text
    wait_for(lambda: not world.request("sam", "GET", "/v1/backup").json()["running"])
    state = world.request("sam", "GET", "/v1/backup").json()
    (manifest,) = town.backups.manifests()
    assert (state["fault"], state["name"]) == ("", manifest.name)
    actions = [line.action for line in world.controller.stores.audit.lines()]
    assert actions[-2:] == ["backup_started", "backup_made"]
    assert town.restored()["count"] == 50


def test_what_cannot_be_is_said_in_one_line(town: Town) -> None:
    world = town.world
    body = {"directory": "backups", **ORDER}
    assert error_of(world.request("sam", "POST", "/v1/backup", json=body)) == (422, "directory")
    body["directory"] = str(world.config.data_dir / "backups")
    assert world.request("sam", "POST", "/v1/backup", json=body).status_code == 202
    wait_for(lambda: not world.request("sam", "GET", "/v1/backup").json()["running"])
    fault = world.request("sam", "GET", "/v1/backup").json()["fault"]
    assert fault.startswith("DIR: lies in the data directory")
    assert not (world.config.data_dir / "backups").exists()
