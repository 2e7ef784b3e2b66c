"""`sightline backup` and `sightline restore`."""

import getpass
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from controller.adapters.backup.folder import BackupFolder
from controller.adapters.backup.manifest import EPOCH_KEY, GALLERY, BackupError, Manifest
from controller.adapters.backup.sealing import new_salt, private_key, public_hex
from controller.cli_base import ERR, OUT, one_line_errors
from controller.client import ApiClient
from controller.config import FILE_NAME, load_config
from wire.times import EPOCH_US, from_us

app = typer.Typer(no_args_is_help=True, help="Backups of records, keys and gallery.")
_PATH: Final = "/v1/backup"
_POLL_S: Final = 0.25
_Dir = Annotated[Path, typer.Argument(help="the folder of backups", metavar="DIR")]
_Stdin = Annotated[bool, typer.Option("--passphrase-stdin", help="read it from stdin")]
_Json = Annotated[bool, typer.Option("--json", help="print JSON")]
Tell = Callable[[str, int, int], None]
Made = tuple[str, int]


@app.command("create")
@one_line_errors
def create(
    directory: _Dir,
    config: Annotated[
        Path | None, typer.Option("--config", help="of a controller that does not run")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", help="of a controller that does not run")
    ] = None,
    recipient: Annotated[
        str, typer.Option(help="in place of the passphrase, for a folder that has one")
    ] = "",
    keep: Annotated[int, typer.Option(min=1, max=366, help="so many backups stay")] = 7,
    passphrase_stdin: _Stdin = False,
) -> None:
    """Back up through the running controller, or with --data-dir one that does not run.

    A later backup in the same folder copies only what is new. Erases from the folder what is past
    retention.
    """
    folder = BackupFolder(directory.absolute())
    recipient, salt = _recipient(folder, recipient, passphrase_stdin)
    if config is None and data_dir is None:
        name, new_bytes = _through_api(folder, recipient, salt, keep)
    else:
        where = config or (data_dir or Path()) / FILE_NAME
        name, new_bytes = _here(where, folder, recipient, salt, keep)
    OUT.print(f"backup {name}: {new_bytes / 1e6:,.1f} MB copied", soft_wrap=True)
    OUT.print(f"without passphrase next time: --recipient {recipient}", soft_wrap=True)


@app.command("list")
@one_line_errors
def list_(directory: _Dir, as_json: _Json = False) -> None:
    """List the backups of a folder, oldest first."""
    found = [_facts(one) for one in BackupFolder(directory).manifests()]
    if as_json:
        typer.echo(json.dumps({"backups": found}))
        return
    table = Table("backup", "days", "from", "to", "rows", "MB", "MB new")
    for one in found:
        table.add_row(one["backup"], str(one["epochs"]), one["first_day"], one["last_day"],
                      f"{one['rows']:,}", f"{one['bytes'] / 1e6:,.1f}",
                      f"{one['new_bytes'] / 1e6:,.1f}")  # fmt: skip
    OUT.print(table)


@app.command("verify")
@one_line_errors
def verify(directory: _Dir, as_json: _Json = False) -> None:
    """Read every file of all backups again and compare it with what was written."""
    folder = BackupFolder(directory)
    manifests = folder.manifests()
    if not manifests:
        raise BackupError(f"DIR: {directory} holds no backup")
    files = list({file.path: file for one in manifests for file in one.files}.values())
    done, total = 0, sum(file.size for file in files)
    with _progress(shown=not as_json) as tell:

        def count(size: int) -> None:
            nonlocal done
            done += size
            tell("checking", done, total)

        faults = folder.faults(files, count)
    if as_json:
        typer.echo(json.dumps({"files": len(files), "bytes": total, "faults": faults}))
    for fault in [] if as_json else faults:
        OUT.print(fault, markup=False, soft_wrap=True)
    if faults:
        raise BackupError(f"DIR: {len(faults)} of {len(files)} files are missing or altered")
    if not as_json:
        OUT.print(f"{len(manifests)} backups, {len(files)} files, {total / 1e6:,.1f} MB: whole")


@one_line_errors
def restore(
    directory: _Dir,
    data_dir: Annotated[Path, typer.Option("--data-dir", help="a new or empty folder")],
    at: Annotated[str, typer.Option(help="the backup's name or its beginning; else newest")] = "",
    passphrase_stdin: _Stdin = False,
) -> None:
    """Restore a backup into a new data directory; days past retention stay erased."""
    from controller.adapters.backup.restore import Restorer

    passphrase = _passphrase(passphrase_stdin, confirm=False)
    with _progress() as tell:
        maker = Restorer(BackupFolder(directory.absolute()), passphrase, _now_us, tell)
        made = maker.restore(data_dir, at)
    OUT.print(f"restored {made.made}: {made.sightings:,} sightings of {made.epochs} days, "
              f"{made.cases} cases", soft_wrap=True)  # fmt: skip
    if made.expired_epochs:
        OUT.print(f"{made.expired_epochs} days are past retention and were not restored")
    OUT.print(f"start it with: sightline controller run --config {made.config}", soft_wrap=True)


def _here(where: Path, folder: BackupFolder, recipient: str, salt: str, keep: int) -> Made:
    from controller.adapters.backup.create import Watch
    from controller.build_backup import backup_of_stopped

    with _progress() as tell:
        made = backup_of_stopped(load_config(where), folder, recipient, salt, keep, Watch(tell))
    return made.name, made.new_bytes


def _through_api(folder: BackupFolder, recipient: str, salt: str, keep: int) -> Made:
    client = ApiClient()
    body = {"directory": str(folder.root), "recipient": recipient, "salt": salt, "keep": keep}
    state: dict[str, Any] = client.post(_PATH, json=body)
    try:
        with _progress() as tell:
            while state["running"]:
                tell(state["step"], state["done"], state["total"])
                time.sleep(_POLL_S)
                state = client.get(_PATH)
    except KeyboardInterrupt:
        client.post(f"{_PATH}/cancel")
        raise BackupError("backup: stopped; run it again to go on from here") from None
    if state["fault"]:
        raise BackupError(state["fault"])
    return str(state["name"]), int(state["new_bytes"])


def _recipient(folder: BackupFolder, given: str, from_stdin: bool) -> tuple[str, str]:
    """Return the recipient as hex and the salt of its passphrase."""
    about = folder.about()
    if given:
        return given, ""
    salt = new_salt() if about is None else about.salt
    passphrase = _passphrase(from_stdin, confirm=about is None)
    made = public_hex(private_key(passphrase, salt))
    if about is not None and made != about.recipient:
        raise BackupError("passphrase: is not the one of this folder")
    return made, salt


def _passphrase(from_stdin: bool, *, confirm: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    passphrase = getpass.getpass("passphrase of the backups: ")
    if confirm and getpass.getpass("again: ") != passphrase:
        raise BackupError("passphrase: the two are not the same; try again")
    return passphrase


@contextmanager
def _progress(*, shown: bool = True) -> Iterator[Tell]:
    """Show a bar on stderr; gives the function that moves it."""
    columns = (TextColumn("{task.description:9}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=ERR, transient=True, disable=not shown) as bar:
        task = bar.add_task("", total=None)

        def tell(step: str, done: int, total: int) -> None:
            bar.update(task, description=step, completed=done, total=total or None)

        yield tell


def _facts(manifest: Manifest) -> dict[str, Any]:
    epochs = [f.epoch for f in manifest.of(EPOCH_KEY) if f.epoch is not None]
    return {
        "backup": manifest.name,
        "epochs": len(epochs),
        "first_day": _day(min(epochs)) if epochs else "",
        "last_day": _day(max(epochs)) if epochs else "",
        "rows": sum(file.rows for file in manifest.of(GALLERY)),
        "bytes": manifest.size,
        "new_bytes": manifest.new_bytes,
    }


def _day(epoch: int) -> str:
    return from_us(epoch * EPOCH_US).date().isoformat()


def _now_us() -> int:
    return time.time_ns() // 1_000
