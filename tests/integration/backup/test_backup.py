"""A backup holds everything, costs what is new, and says when it was altered."""

from datetime import timedelta
from uuid import UUID

import pytest

from controller.adapters.backup.create import Watch
from controller.adapters.backup.folder import BackupFolder
from controller.adapters.backup.manifest import BackupError, BackupStopped
from tests.integration.backup.town import Town, mark


def test_everything_comes_back_under_a_new_master_key(town: Town) -> None:
    rows = town.see(300) + town.see(200, day=-1, shard=3)
    town.acknowledge("box-1", 17)
    case_id = town.world.approved_case()
    town.world.controller.stores.files.write(UUID(case_id), rows[0].id, b"x")
    manifest = town.back_up()
    back = town.restored()
    assert back["ids"] == sorted(str(row.id) for row in rows)
    assert (back["count"], back["differences"]) == (500, [])
    assert back["cursors"] == {"box-1": 17}
    assert back["agents"] == ["box-1", "box-2", "box-3"]
    assert (list(back["cases"]), back["photos"]) == ([case_id], 1)
    assert back["pictures"] == [f"{rows[0].id.hex}.bin"]
    keys, case = town.world.controller.keys, town.world.controller.stores.cases.cases()[0]
    assert back["keys"] == {
        str(epoch): mark(keys._epoch_key(epoch)) for epoch in sorted(keys.known_epochs())
    }
    assert back["cases"][case_id] == mark(town.world.controller.cases.case_key(case))
    lines = town.world.controller.stores.audit.lines()
    assert back["audit"] == [line.hash for line in lines]
    assert back["signing"] == mark(town.source.signing_raw)
    assert back["master"] != mark((town.world.config.keys_dir / "master.key").read_bytes())
    assert sum(file.rows for file in manifest.files) == 500
    assert back["restored_us"] == town.world.clock.now_us()


def test_no_key_and_no_name_lies_open_in_the_folder(town: Town) -> None:
    town.see(10)
    town.world.approved_case()
    town.back_up()
    keys = town.world.controller.keys
    secrets = [keys._epoch_key(epoch) for epoch in keys.known_epochs()]
    secrets += [town.source.signing_raw, b"case 1", b"administrator"]
    secrets.append((town.world.config.keys_dir / "master.key").read_bytes())
    for path in town.backups.root.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not any(secret in content for secret in secrets), path


def test_a_second_backup_copies_only_what_is_new(town: Town) -> None:
    town.see(2_000)
    town.see(1_000, day=-1)
    first = town.back_up()
    unchanged = town.back_up()
    assert unchanged.of("gallery") == first.of("gallery")
    assert unchanged.new_bytes < first.new_bytes / 10
    fresh = town.see(40)
    third = town.back_up()
    added = set(third.of("gallery")) - set(first.of("gallery"))
    assert [(file.epoch, file.rows) for file in added] == [(town.today, len(fresh))]
    assert town.restored()["count"] == 3_040


def test_an_older_backup_of_the_same_folder_can_be_restored(town: Town) -> None:
    old = town.see(100)
    first = town.back_up()
    town.see(50)
    town.back_up()
    assert town.restored(at=first.name)["ids"] == sorted(str(row.id) for row in old)


def test_a_stopped_backup_leaves_no_manifest_and_the_next_goes_on(town: Town) -> None:
    for day in (0, -1):
        for shard in range(3):
            town.see(100, day=day, shard=shard)
    # Stopped once the first of the two days is copied.
    asked = iter([False] * 4 + [True] * 100)
    with pytest.raises(BackupStopped):
        town.back_up(Watch(stopped=lambda: next(asked)))
    assert town.backups.manifests() == []
    kept = {file.path for file in town.backups.unfinished()}
    assert kept
    manifest = town.back_up()
    assert kept < {file.path for file in manifest.of("gallery")}
    assert town.restored()["count"] == 600


def test_a_repeated_row_is_one_sighting_after_a_restore(town: Town) -> None:
    rows = town.see(100)
    town.back_up()
    table = town.world.controller.stores.gallery.table
    table.insert(rows, stored_us=town.world.controller.stores.gallery.settled_us() + 1)
    town.see(1)
    manifest = town.back_up()
    assert sum(file.rows for file in manifest.of("gallery")) > 101
    assert town.restored()["count"] == 101


@pytest.mark.parametrize("kind", ["gallery", "records", "epoch_key"])
@pytest.mark.parametrize("harm", ["altered", "missing"])
def test_one_wrong_file_is_named_and_nothing_is_restored(town: Town, kind: str, harm: str) -> None:
    town.see(50)
    manifest = town.back_up()
    file = manifest.of(kind)[0]
    path = town.backups.root / file.path
    content = bytearray(path.read_bytes())
    if harm == "missing":
        path.unlink()
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    (fault,) = town.backups.faults(manifest.files)
    assert fault.startswith(f"{file.path}: ")
    refused = town.restored()["refused"]
    assert file.path in refused
    assert "nothing was restored" in refused
    assert not (town.folder / "restored").exists()


def test_a_wrong_passphrase_and_a_full_folder_are_refused(town: Town) -> None:
    town.see(5)
    town.back_up()
    refused = town.restored(passphrase="not the right passphrase")["refused"]
    assert refused == "passphrase: is not the one of this folder"
    (town.folder / "restored").mkdir()
    (town.folder / "restored" / "mine.txt").write_text("keep me")
    assert "is not empty" in town.restored()["refused"]


def test_folders_of_others_are_left_alone(town: Town) -> None:
    town.backups.root.mkdir()
    (town.backups.root / "thesis.tex").write_text("mine")
    with pytest.raises(BackupError, match="neither empty nor a folder of backups"):
        town.back_up()
    assert [path.name for path in town.backups.root.iterdir()] == ["thesis.tex"]
    town.backups = BackupFolder(town.world.config.data_dir / "backups")
    with pytest.raises(BackupError, match="lies in the data directory"):
        town.back_up()


def test_another_recipient_wants_another_folder(town: Town) -> None:
    first = town.back_up()
    with pytest.raises(BackupError, match="recipient"):
        town.back_up(recipient="11" * 32)
    assert town.backups.manifests() == [first]


def test_only_so_many_backups_are_kept(town: Town) -> None:
    town.see(20)
    made = [town.back_up(keep=3) for _ in range(5)]
    assert [one.name for one in town.backups.manifests()] == [one.name for one in made[2:]]
    named = {file.path for one in made[2:] for file in one.files}
    there = {
        path.relative_to(town.backups.root).as_posix()
        for path in town.backups.root.rglob("*.*")
        if path.parent.name != "manifests" and path.name != "backup.json"
    }
    assert there == named


def test_what_is_past_retention_leaves_every_backup_and_never_comes_back(town: Town) -> None:
    town.see(30, day=-1)
    town.see(20)
    old = town.back_up()
    gone = town.today - 1
    town.pass_days(14)
    kept = town.back_up()
    assert gone not in {file.epoch for one in town.backups.manifests() for file in one.files}
    assert not list(town.backups.root.glob(f"**/*{gone}*"))
    assert town.backups.faults(town.backups.manifests()[0].files) == []
    assert sum(file.rows for file in kept.of("gallery")) == 20
    assert town.restored(at=old.name)["count"] == 20


def test_a_restore_refuses_days_that_expired_in_a_forgotten_copy(town: Town) -> None:
    town.see(30, day=-1)
    town.see(20)
    town.back_up()
    back = town.restored(later=timedelta(days=14))
    assert (back["count"], back["expired"]) == (20, 1)
    assert str(town.today - 1) not in back["keys"]


def test_a_closed_case_is_closed_in_older_backups_too(town: Town) -> None:
    case_id = town.world.approved_case()
    old = town.back_up()
    assert town.world.request("ivy", "POST", f"/v1/cases/{case_id}/close").status_code == 200
    town.back_up()
    assert not list(town.backups.root.glob("keys/case-*"))
    back = town.restored(at=old.name)
    assert (back["cases"], back["photos"]) == ({}, 0)


def test_a_day_purged_and_begun_again_has_its_new_key_and_none_of_its_old_rows(
    town: Town,
) -> None:
    town.see(30)
    town.back_up()
    stores, keys = town.world.controller.stores, town.world.controller.keys
    keys.destroy_before(town.today + 1)
    stores.gallery.purge_before(town.today + 1)
    keys.ensure_epochs()
    fresh = town.see(4)
    town.back_up()
    back = town.restored()
    assert back["ids"] == sorted(str(row.id) for row in fresh)
    assert back["keys"][str(town.today)] == mark(keys._epoch_key(town.today))
