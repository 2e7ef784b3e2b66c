"""What is done on the controller's own machine: a new data directory, and its accounts."""

import base64
import json
import time
from pathlib import Path

from controller.adapters.records.engine import Database
from controller.adapters.records.people import SqlAccounts, SqlAudit
from controller.adapters.vault import create_key_files
from controller.config import FILE_NAME, Config, ConfigInvalid, load_config
from controller.services.accounts import AccountService
from controller.services.values import User
from wire.signing import public_bytes


def initialise(data_dir: Path, config_toml: str) -> Path:
    """Make a data directory that `controller run` can use; returns its configuration file.

    Raises `ControllerError` and leaves everything as it was if there is one already.
    """
    data_dir = data_dir.absolute()
    config_path = data_dir / FILE_NAME
    for path in (config_path, data_dir / "keys", data_dir / "records.sqlite"):
        if path.exists():
            raise ConfigInvalid(f"data_dir: {path} exists; use an empty directory")
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    signing = create_key_files(data_dir / "keys")
    public = {"signing_public_b64": base64.b64encode(public_bytes(signing.public_key())).decode()}
    (data_dir / "controller.pub.json").write_text(json.dumps(public) + "\n", encoding="utf-8")
    config_path.write_text(config_toml, encoding="utf-8")
    Database(load_config(config_path).records_dsn).close()
    return config_path


def add_user(config: Config, name: str, role: str, password: str) -> User:
    """Add an account directly in the records; whoever may read the keys may do this."""
    database = Database(config.records_dsn)
    try:
        accounts = AccountService(
            SqlAccounts(database), SqlAudit(database), lambda: time.time_ns() // 1_000
        )
        return accounts.add_user(name, role, password)
    finally:
        database.close()
