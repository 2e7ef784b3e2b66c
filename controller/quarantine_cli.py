"""`sightline quarantine`: messages that ingest refused, and what to do with them."""

import json
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from controller.cli_base import OUT as _OUT
from controller.cli_base import one_line_errors as _one_line_errors
from controller.client import ApiClient
from controller.errors import ControllerError

app = typer.Typer(no_args_is_help=True, help="Messages that ingest refused.")
PAGE: Final = 100
_PATH: Final = "/v1/quarantine"
_Json = Annotated[bool, typer.Option("--json", help="print JSON")]
_Reason = Annotated[str, typer.Option("--reason", help="only this reason code")]
_Positions = Annotated[list[int] | None, typer.Argument(help="numbers as `list` shows them")]


@app.command("list")
@_one_line_errors
def list_messages(
    reason: _Reason = "",
    after: Annotated[int, typer.Option(help="beyond this number")] = 0,
    limit: Annotated[int, typer.Option(help="at most this many, up to 200")] = 50,
    as_json: _Json = False,
) -> None:
    """List refused messages, oldest first, and count all of them by reason."""
    answer = _page(ApiClient(), reason, after, limit)
    if as_json:
        typer.echo(json.dumps(answer))
        return
    table = Table("number", "refused at", "topic", "reason")
    for one in answer["messages"]:
        table.add_row(str(one["position"]), one["at"], one["topic"], one["reason"])
    _OUT.print(table)
    for code, count in sorted(answer["kept"].items()):
        _OUT.print(f"{code}: {count}", markup=False)


@app.command("show")
@_one_line_errors
def show(position: int, as_json: _Json = False) -> None:
    """Show one message and what its batch says of itself; never a template."""
    answer = ApiClient().get(f"{_PATH}/{position}")
    if as_json:
        typer.echo(json.dumps(answer))
        return
    for name, value in (answer | (answer.pop("batch") or {})).items():
        _OUT.print(f"{name}: {value}", markup=False, soft_wrap=True)


@app.command("replay")
@_one_line_errors
def replay(positions: _Positions = None, reason: _Reason = "") -> None:
    """Send messages through ingest again; what is stored then leaves quarantine."""
    client, left = ApiClient(), 0
    for page in _pages(client, positions or [], reason):
        for one in client.post(f"{_PATH}/replay", json={"positions": page})["messages"]:
            _OUT.print(f"{one['position']}: {one['outcome']}", markup=False, soft_wrap=True)
            left += one["outcome"] != "taken"
    if left:
        raise ControllerError(f"replay: {left} messages were not taken; see the reasons above")


@app.command("discard")
@_one_line_errors
def discard(positions: _Positions = None, reason: _Reason = "") -> None:
    """Forget messages for good."""
    client = ApiClient()
    gone = sum(
        client.post(f"{_PATH}/discard", json={"positions": page})["discarded"]
        for page in _pages(client, positions or [], reason)
    )
    _OUT.print(f"{gone} messages discarded")


def _pages(client: ApiClient, positions: list[int], reason: str) -> list[list[int]]:
    """Return what is meant, 100 at a time: the given numbers, or all of one reason."""
    if bool(positions) == bool(reason):
        raise ControllerError("quarantine: give either numbers or --reason CODE")
    if not positions:
        positions = _of_reason(client, reason)
    return [positions[at : at + PAGE] for at in range(0, len(positions), PAGE)]


def _of_reason(client: ApiClient, reason: str) -> list[int]:
    # Read whole before anything is sent: what fails again stays and must not be met twice.
    found: list[int] = []
    while page := _page(client, reason, found[-1] if found else 0, PAGE)["messages"]:
        found += [one["position"] for one in page]
    return found


def _page(client: ApiClient, reason: str, after: int, limit: int) -> dict[str, Any]:
    wanted = f"&reason={reason}" if reason else ""
    answer = client.get(f"{_PATH}?after={after}&limit={limit}{wanted}")
    return dict(answer)
