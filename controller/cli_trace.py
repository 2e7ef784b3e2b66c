"""`sightline case anchor`, `case judge` and `case plan`: the trace in people's hands."""

import json
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from controller.cli_base import one_line_errors
from controller.client import ApiClient
from controller.errors import ControllerError

_OUT: Final = Console(highlight=False)
_Json = Annotated[bool, typer.Option("--json", help="print JSON")]
_CaseId = Annotated[str, typer.Argument(help="the case's id")]
VERDICTS: Final = ("confirm", "reject", "undo")

anchor_app = typer.Typer(no_args_is_help=True, help="Where the person said to have been.")


def add_to(case_app: typer.Typer) -> None:
    """Add these commands to the group of cases."""
    case_app.add_typer(anchor_app, name="anchor")
    case_app.command("plan")(case_plan)
    case_app.command("trace")(case_trace)
    case_app.command("judge")(case_judge)
    case_app.command("refresh")(case_refresh)


@anchor_app.command("add")
@one_line_errors
def anchor_add(
    case_id: _CaseId,
    start: Annotated[str, typer.Option("--from", help="ISO time with zone")],
    end: Annotated[str, typer.Option("--to", help="ISO time with zone")],
    place: Annotated[str, typer.Option(help="X_M,Y_M on the plan")] = "",
    camera: Annotated[str, typer.Option(help="at this camera")] = "",
    radius_m: Annotated[float, typer.Option(min=0, help="around the place")] = 50.0,
    unsure_minutes: Annotated[float, typer.Option(min=0, help="of the times, give or take")] = 10.0,
    confidence: Annotated[float, typer.Option(help="that it was so, 0.5 to 1")] = 0.95,
    as_json: _Json = False,
) -> None:
    """Add a place and a time; the next trace uses it."""
    body: dict[str, Any] = {
        "start": start, "end": end, "radius_m": radius_m, "confidence": confidence,
        "time_uncertainty_s": 60.0 * unsure_minutes, **_place(place, camera),
    }  # fmt: skip
    found = ApiClient().post(f"/v1/cases/{case_id}/anchors", json=body)
    _show_anchors([found], found, as_json)


@anchor_app.command("list")
@one_line_errors
def anchor_list(case_id: _CaseId, as_json: _Json = False) -> None:
    """List what the person said."""
    found = ApiClient().get(f"/v1/cases/{case_id}/anchors")
    _show_anchors(found["anchors"], found, as_json)


@anchor_app.command("remove")
@one_line_errors
def anchor_remove(
    case_id: _CaseId, anchor_id: Annotated[str, typer.Argument(help="said-1, said-2, ...")]
) -> None:
    """Take back what the person said."""
    ApiClient().delete(f"/v1/cases/{case_id}/anchors/{anchor_id}")


@one_line_errors
def case_refresh(case_id: _CaseId, as_json: _Json = False) -> None:
    """Make trace, contacts and report anew with late answers; searches nothing, asks nobody."""
    _show_trace(ApiClient().post(f"/v1/cases/{case_id}/refresh"), as_json)


@one_line_errors
def case_plan(
    case_id: _CaseId,
    search: Annotated[bool, typer.Option("--search", help="search and trace first")] = False,
    as_json: _Json = False,
) -> None:
    """Show who would be asked, when and why; asks nobody."""
    client, path = ApiClient(), f"/v1/cases/{case_id}/plan"
    found = client.post(path) if search else client.get(path)
    if as_json:
        typer.echo(json.dumps(found))
        return
    table = Table("agent", "camera", "from", "to", "when", "gain", "reason")
    for one in found["questions"]:
        table.add_row(
            one["agent_id"], one["camera_id"], one["start"], one["end"], one["when"],
            f"{one['expected_gain']:.2f}", one["reason"],
        )  # fmt: skip
    _OUT.print(table)
    _OUT.print(found["summary"], markup=False, soft_wrap=True)


@one_line_errors
def case_trace(case_id: _CaseId, as_json: _Json = False) -> None:
    """Show the trace with its reasons and the sightings that a reviewer may judge."""
    _show_trace(ApiClient().get(f"/v1/cases/{case_id}/trace"), as_json)


@one_line_errors
def case_judge(
    case_id: _CaseId,
    sighting_id: Annotated[str, typer.Argument(help="a sighting of the report")],
    verdict: Annotated[str, typer.Argument(help="confirm, reject or undo")],
    as_json: _Json = False,
) -> None:
    """Confirm or reject one sighting; the trace is computed again at once."""
    if verdict not in VERDICTS:
        raise ControllerError(f"verdict: give one of {', '.join(VERDICTS)}")
    path = f"/v1/cases/{case_id}/sightings/{sighting_id}/{verdict}"
    _show_trace(ApiClient().post(path), as_json)


def _show_trace(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(found))
        return
    for one in [*found["trace"], *found["review"]]:
        line = f"{one['start']} {one['camera_id']} {one['decision']}: {one['explanation']}"
        _OUT.print(line, markup=False, soft_wrap=True)
        _OUT.print("  " + " ".join(one["sighting_ids"]), markup=False, soft_wrap=True)


def _place(place: str, camera: str) -> dict[str, Any]:
    if bool(place) == bool(camera):
        raise ControllerError("--place: give either --place X_M,Y_M or --camera CAMERA")
    if camera:
        return {"camera_id": camera}
    try:
        x_m, y_m = (float(part) for part in place.split(","))
    except ValueError:
        raise ControllerError(f"--place: give X_M,Y_M, not {place!r}") from None
    return {"x_m": x_m, "y_m": y_m}


def _show_anchors(anchors: list[dict[str, Any]], raw: Any, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(raw))
        return
    for one in anchors:
        line = (
            f"{one['anchor_id']}: within {one['radius_m']:g} m of ({one['x_m']:.1f}, "
            f"{one['y_m']:.1f}) from {one['start']} to {one['end']}, give or take "
            f"{one['time_uncertainty_s'] / 60:g} min"
        )
        _OUT.print(line, markup=False, soft_wrap=True)
