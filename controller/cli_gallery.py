"""`sightline gallery`: what it holds, whether it is whole, erasing days early."""

import json
from datetime import datetime
from typing import Annotated, Any

import typer

from controller.cli_base import OUT, one_line_errors
from controller.client import ApiClient
from controller.errors import ControllerError

app = typer.Typer(no_args_is_help=True, help="The gallery of protected sightings.")
_Json = Annotated[bool, typer.Option("--json", help="print JSON")]
_PATH = "/v1/gallery"


@app.command("stats")
@one_line_errors
def stats(as_json: _Json = False) -> None:
    """Show sightings, days and bytes on the disk."""
    figures: dict[str, Any] = ApiClient().get(f"{_PATH}/stats")
    if as_json:
        typer.echo(json.dumps(figures))
        return
    for name, value in figures.items():
        OUT.print(f"{name:14} {value:,}")
    rows = max(int(figures["sightings"]), 1)
    per_row = (figures["table_bytes"] + figures["search_bytes"]) / rows
    OUT.print(f"{per_row:.0f} bytes a sighting")


@app.command("verify")
@one_line_errors
def verify(as_json: _Json = False) -> None:
    """Compare the durable table with the search files; status 1 if they differ."""
    differences = ApiClient().post(f"{_PATH}/verify")["differences"]
    if as_json:
        typer.echo(json.dumps({"differences": differences}))
    for line in [] if as_json else differences:
        OUT.print(line, markup=False, soft_wrap=True)
    if differences:
        raise ControllerError("gallery: the search files differ; run `sightline gallery rebuild`")
    if not as_json:
        OUT.print("table and search files agree")


@app.command("rebuild")
@one_line_errors
def rebuild() -> None:
    """Make the search files anew from the table."""
    OUT.print(f"{ApiClient().post(f'{_PATH}/rebuild')['sightings']:,} sightings can be searched")


@app.command("purge")
@one_line_errors
def purge(
    before: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="first UTC day kept")],
    reason: Annotated[str, typer.Option(help="why days inside the retention period go")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
) -> None:
    """Erase all days before a date, with their keys, for good."""
    day = before.date().isoformat()
    if not yes:
        typer.confirm(f"Erase every sighting and key before {day} for good?", abort=True)
    gone = ApiClient().post(f"{_PATH}/purge", json={"before": day, "reason": reason})
    OUT.print(f"{gone['days_dropped']} days and {gone['keys_destroyed']} keys erased")
