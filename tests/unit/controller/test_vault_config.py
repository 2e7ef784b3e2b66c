"""Keys at rest, and the configuration file."""

from pathlib import Path

import pytest

from controller.adapters.vault import (
    Vault,
    VaultError,
    create_key_files,
    open_vault,
    read_signing_key,
)
from controller.config import ConfigInvalid, default_toml, load_config, parse_config
from controller.setup import initialise


def text() -> str:
    return default_toml(
        api_host="127.0.0.1", api_port=1, broker_host="127.0.0.1", broker_port=2, broker_tls=False
    )


def test_a_wrapped_key_comes_back_only_under_its_own_label() -> None:
    vault = Vault(bytes(32))
    key = vault.new_key()
    wrapped = vault.wrap(key, label="case_key|a")
    assert vault.unwrap(wrapped, label="case_key|a") == key
    with pytest.raises(VaultError):
        vault.unwrap(wrapped, label="case_key|b")
    with pytest.raises(VaultError):
        Vault(bytes(31) + b"\x01").unwrap(wrapped, label="case_key|a")


def test_altered_data_is_refused() -> None:
    key = Vault.new_key()
    sealed = Vault.seal(key, b"a photo", label="photo|1")
    assert b"a photo" not in sealed
    assert Vault.open(key, sealed, label="photo|1") == b"a photo"
    with pytest.raises(VaultError, match="photo: cannot be decrypted"):
        Vault.open(key, sealed[:-1] + b"\x00", label="photo|1")
    with pytest.raises(VaultError):
        Vault.open(key, b"", label="photo|1")


def test_key_files_are_private_and_never_overwritten(tmp_path: Path) -> None:
    made = create_key_files(tmp_path / "keys")
    for name in ("signing.key", "master.key"):
        assert (tmp_path / "keys" / name).stat().st_mode & 0o777 == 0o600
    assert read_signing_key(tmp_path / "keys").private_bytes_raw() == made.private_bytes_raw()
    with pytest.raises(VaultError, match="exists"):
        create_key_files(tmp_path / "keys")


def test_a_master_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    create_key_files(tmp_path)
    (tmp_path / "master.key").chmod(0o640)
    with pytest.raises(VaultError, match="chmod 600"):
        open_vault(tmp_path)


def test_init_refuses_a_used_directory_and_leaves_it_as_it_was(tmp_path: Path) -> None:
    path = initialise(tmp_path / "d", text())
    before = {p: p.read_bytes() for p in (tmp_path / "d").rglob("*") if p.is_file()}
    with pytest.raises(ConfigInvalid, match="use an empty directory"):
        initialise(tmp_path / "d", text())
    assert before == {p: p.read_bytes() for p in (tmp_path / "d").rglob("*") if p.is_file()}
    config = load_config(path)
    assert config.data_dir == tmp_path / "d"
    assert config.records_dsn == f"sqlite:///{tmp_path / 'd' / 'records.sqlite'}"


@pytest.mark.parametrize(
    ("section", "key", "value", "words"),
    [
        ("api", "prot", 1, "api.prot: is not a setting"),
        ("api", "port", 0, "api.port: "),
        ("api", "host", "0.0.0.0", "api: outside loopback"),
        ("broker", "host", "broker.example", "broker: tls = false"),
        ("retention", "sightings_days", 0, "retention.sightings_days: "),
    ],
)
def test_a_bad_setting_is_named(section: str, key: str, value: object, words: str) -> None:
    raw = {"controller": {"data_dir": "d"}, section: {key: value}}
    with pytest.raises(ConfigInvalid) as caught:
        parse_config(raw, base=Path("/x"))
    assert str(caught.value).startswith(words)
    assert "\n" not in str(caught.value)


def test_a_missing_or_broken_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="sightline controller init"):
        load_config(tmp_path / "none.toml")
    (tmp_path / "odd.toml").write_text("[controller\n")
    with pytest.raises(ConfigInvalid, match="is not TOML"):
        load_config(tmp_path / "odd.toml")
