"""Manifests, sealed files and the folder's own faults."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.adapters.backup.folder import About, BackupFolder
from controller.adapters.backup.manifest import BackupError, File, Manifest, from_json, to_json
from controller.adapters.backup.sealing import Seals, new_salt, private_key, public_hex

FILES = st.builds(
    File,
    path=st.from_regex(r"[a-z]+/[a-z0-9-]+\.sealed", fullmatch=True),
    kind=st.sampled_from(["gallery", "epoch_key", "records"]),
    sha256=st.text("0123456789abcdef", min_size=64, max_size=64),
    size=st.integers(0, 2**50),
    epoch=st.none() | st.integers(0, 2**31),
    shard=st.none() | st.integers(0, 2**16 - 1),
    until_us=st.integers(-1, 2**62),
    rows=st.integers(0, 2**40),
    case=st.none() | st.text("0123456789abcdef", min_size=32, max_size=32),
    tag=st.text("0123456789abcdef", max_size=12),
)
MANIFESTS = st.builds(
    Manifest, created_us=st.integers(0, 2**52), records_schema=st.integers(1, 9),
    gallery_schema=st.integers(1, 9), retention_days=st.integers(1, 60),
    files=st.lists(FILES, max_size=5).map(tuple), new_bytes=st.integers(0, 2**50),
)  # fmt: skip


@given(MANIFESTS)
def test_a_manifest_comes_back_as_it_was(manifest: Manifest) -> None:
    assert from_json(to_json(manifest), "m") == manifest


@pytest.mark.parametrize("path", ["/etc/passwd", "../controller/keys/master.key", "a/../../b"])
def test_a_manifest_cannot_name_files_outside_the_folder(path: str) -> None:
    file = File(path, "gallery", "0" * 64, 1)
    manifest = Manifest(1, 1, 1, 14, (file,))
    with pytest.raises(BackupError, match="m: is damaged"):
        from_json(to_json(manifest), "m")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 2}', '{"format": 1}'])
def test_what_is_no_manifest_is_said_to_be_none(text: str) -> None:
    with pytest.raises(BackupError, match="m: "):
        from_json(text, "m")


def test_a_sealed_file_opens_with_the_passphrase_in_its_own_place_only() -> None:
    salt = new_salt()
    key = private_key("correct horse battery", salt)
    seals = Seals(bytes.fromhex(public_hex(key)), lineage=7)
    sealed = seals.seal(b"a key", "keys/epoch-1.sealed")
    assert b"a key" not in sealed
    assert seals.open(sealed, "keys/epoch-1.sealed", key) == b"a key"
    elsewhere = Seals(seals.recipient, lineage=8)
    for opener, path, with_key in (
        (seals, "keys/epoch-2.sealed", key),
        (elsewhere, "keys/epoch-1.sealed", key),
        (seals, "keys/epoch-1.sealed", private_key("correct horse batterz", salt)),
    ):
        with pytest.raises(BackupError, match="cannot be opened"):
            opener.open(sealed, path, with_key)
    with pytest.raises(BackupError, match="at least 12"):
        private_key("too short", salt)


def test_two_backups_into_one_folder_do_not_run_at_once(tmp_path: Path) -> None:
    folder = BackupFolder(tmp_path / "b")
    with (
        folder.locked(),
        pytest.raises(BackupError, match="is running"),
        BackupFolder(tmp_path / "b").locked(),
    ):
        pass
    with folder.locked():
        pass


def test_a_journal_that_a_crash_cut_short_is_read_up_to_there(tmp_path: Path) -> None:
    folder = BackupFolder(tmp_path)
    folder.begin(About(1, "00" * 32, "00" * 16))
    for name in ("a", "b"):
        digest, size = folder.write_bytes(f"gallery/1-x/{name}.parquet", name.encode())
        folder.note(File(f"gallery/1-x/{name}.parquet", "gallery", digest, size, epoch=1, shard=0))
    journal = tmp_path / "unfinished.jsonl"
    journal.write_text(journal.read_text() + json.dumps({"path": "gal"})[:-3])
    assert [file.path[-9:-8] for file in folder.unfinished()] == ["a", "b"]


def test_an_unwritable_folder_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("a file where a folder must be")
    with pytest.raises(BackupError, match=r"DIR: cannot write .*keys"):
        BackupFolder(tmp_path).write_bytes("keys/epoch-1.sealed", b"x")
