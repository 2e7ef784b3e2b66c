"""`sightline`: what people at the controller type."""

import getpass
import json
import logging
import sys
import time
from importlib.metadata import entry_points
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from controller.cli_backup import app as backup_app
from controller.cli_backup import restore
from controller.cli_base import one_line_errors as _one_line_errors
from controller.cli_gallery import app as gallery_app
from controller.cli_trace import add_to as add_trace_commands
from controller.client import ApiClient, RequestFailed, save_token
from controller.config import FILE_NAME, Config, default_toml, load_config
from controller.errors import ControllerError
from controller.quarantine_cli import app as quarantine_app

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="Sightline: trace one case through a city's own cameras, and nobody else.",
)  # fmt: skip
controller_app = typer.Typer(no_args_is_help=True, help="Set up and run the controller.")
user_app = typer.Typer(no_args_is_help=True, help="Accounts (on the controller's own machine).")
fleet_app = typer.Typer(no_args_is_help=True, help="Camera boxes.")
case_app = typer.Typer(no_args_is_help=True, help="Cases.")
app.add_typer(controller_app, name="controller")
app.add_typer(user_app, name="user")
app.add_typer(fleet_app, name="fleet")
app.add_typer(case_app, name="case")
add_trace_commands(case_app)
app.add_typer(quarantine_app, name="quarantine")
app.add_typer(gallery_app, name="gallery")
app.add_typer(backup_app, name="backup")
app.command("restore")(restore)

_OUT: Final = Console(highlight=False)
_POLL_S: Final = 0.5
_Json = Annotated[bool, typer.Option("--json", help="print JSON")]
_ConfigOption = Annotated[Path | None, typer.Option("--config", help="controller.toml")]
_DataDir = Annotated[Path | None, typer.Option("--data-dir", help="the folder it lies in")]
_PasswordStdin = Annotated[bool, typer.Option("--password-stdin", help="read it from stdin")]
_CaseId = Annotated[str, typer.Argument(help="the case's id")]


@controller_app.command("init")
@_one_line_errors
def controller_init(
    data_dir: Annotated[Path, typer.Option("--data-dir", help="a new or empty folder")],
    api_host: Annotated[str, typer.Option()] = "127.0.0.1",
    api_port: Annotated[int, typer.Option()] = 8470,
    broker_host: Annotated[str, typer.Option()] = "127.0.0.1",
    broker_port: Annotated[int, typer.Option()] = 1883,
    broker_tls: Annotated[bool, typer.Option("--broker-tls/--no-broker-tls")] = False,
) -> None:
    """Make keys, records and a configuration file."""
    from controller.setup import initialise

    text = default_toml(
        api_host=api_host, api_port=api_port, broker_host=broker_host, broker_port=broker_port,
        broker_tls=broker_tls,
    )  # fmt: skip
    _OUT.print(f"controller ready: {initialise(data_dir, text)}", soft_wrap=True)


@controller_app.command("run")
@_one_line_errors
def controller_run(config: _ConfigOption = None, data_dir: _DataDir = None) -> None:
    """Ingest, serve the API and investigate, until SIGTERM or Ctrl-C."""
    from controller.build import build_controller
    from controller.logs import set_up

    settings = _load(config, data_dir)
    set_up(settings.controller.log_level)
    controller = build_controller(settings)
    try:
        controller.start()
        controller.serve()
    finally:
        controller.stop()
    logging.getLogger(__name__).info("event=controller_stopped")


@user_app.command("add")
@_one_line_errors
def user_add(
    name: str,
    role: Annotated[str, typer.Option("--role")],
    config: _ConfigOption = None,
    data_dir: _DataDir = None,
    password_stdin: _PasswordStdin = False,
) -> None:
    """Add an account: investigator, approver, technician, auditor or administrator."""
    from controller.setup import add_user

    user = add_user(_load(config, data_dir), name, role, _password(password_stdin, confirm=True))
    _OUT.print(f"{user.name} is {user.role.value} now")


@app.command("login")
@_one_line_errors
def login(
    name: str,
    password_stdin: _PasswordStdin = False,
    show: Annotated[bool, typer.Option("--print", help="print the token, keep no file")] = False,
) -> None:
    """Get a token for eight hours and keep it for the next commands."""
    body = {"name": name, "password": _password(password_stdin, confirm=False)}
    answer = ApiClient().post("/v1/login", json=body)
    if show:
        typer.echo(answer["token"])
        return
    _OUT.print(f"logged in until {answer['expires_at']} ({save_token(answer['token'])})")


@fleet_app.command("add")
@_one_line_errors
def fleet_add(
    file: Annotated[Path, typer.Option("--file", help="JSON list of agents")],
) -> None:
    """Register camera boxes from a file: all of them or none."""
    answer = ApiClient().post("/v1/fleet", json=_read_json(file))
    _OUT.print(f"{answer['added']} agents registered")


@fleet_app.command("list")
@_one_line_errors
def fleet_list(as_json: _Json = False) -> None:
    """List camera boxes with what was last heard of them."""
    answer = ApiClient().get("/v1/fleet")
    if as_json:
        typer.echo(json.dumps(answer))
        return
    table = Table("agent", "camera", "x m", "y m", "shard", "online", "last seen")
    for one in answer["agents"]:
        table.add_row(
            one["agent_id"], one["camera_id"], f"{one['x_m']:.1f}", f"{one['y_m']:.1f}",
            str(one["shard"]), "yes" if one["online"] else "no", one["last_seen"] or "never",
        )  # fmt: skip
    _OUT.print(table)


@app.command("stats")
@_one_line_errors
def stats() -> None:
    """Show figures of gallery, ingest and fleet."""
    for name, value in ApiClient().get("/v1/stats").items():
        _OUT.print(f"{name} {value}")


@case_app.command("open")
@_one_line_errors
def case_open(
    photo: Annotated[list[Path], typer.Option("--photo", help="once per photo")],
    label: Annotated[str, typer.Option(help="an opaque name, never the person's")],
    legal_basis: Annotated[str, typer.Option()],
    scope_start: Annotated[str, typer.Option("--from", help="ISO time with zone")],
    scope_end: Annotated[str, typer.Option("--to", help="ISO time with zone")],
    expires: Annotated[str, typer.Option("--expires", help="ISO time with zone")],
    onset: Annotated[str, typer.Option(help="onset date, YYYY-MM-DD")] = "",
    specimen: Annotated[str, typer.Option(help="specimen date, YYYY-MM-DD")] = "",
    camera: Annotated[list[str] | None, typer.Option(help="once per camera")] = None,
    area: Annotated[str, typer.Option(help="X_M,Y_M,RADIUS_M on the plan")] = "",
    as_json: _Json = False,
) -> None:
    """Open a case; a second person must approve it."""
    fields: dict[str, Any] = {
        "label": label, "legal_basis": legal_basis, "onset_date": onset,
        "specimen_date": specimen, "scope_start": scope_start, "scope_end": scope_end,
        "expires_at": expires, "camera_ids": camera or [], **_area(area),
    }  # fmt: skip
    files = [("photos", (path.name, _read(path))) for path in photo]
    _show_case(ApiClient().post_form("/v1/cases", fields, files), as_json)


@case_app.command("approve")
@_one_line_errors
def case_approve(case_id: _CaseId, as_json: _Json = False) -> None:
    """Approve a case that somebody else opened."""
    _show_case(ApiClient().post(f"/v1/cases/{case_id}/approve"), as_json)


@case_app.command("investigate")
@_one_line_errors
def case_investigate(
    case_id: _CaseId,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="until it is done")] = True,
    as_json: _Json = False,
) -> None:
    """Match, trace, ask agents, assess contacts."""
    client = ApiClient()
    case = client.post(f"/v1/cases/{case_id}/investigate")
    said = ""
    while wait and case["state"] == "running":
        if case["progress"] != said and not as_json:
            said = case["progress"]
            _OUT.print(said)
        time.sleep(_POLL_S)
        case = client.get(f"/v1/cases/{case_id}")
    _show_case(case, as_json)
    if case.get("error"):
        raise RequestFailed(f"investigation: {case['error']}")


@case_app.command("status")
@_one_line_errors
def case_status(
    case_id: Annotated[str | None, typer.Argument(help="one case; else all")] = None,
    as_json: _Json = False,
) -> None:
    """Show one case, or all live ones."""
    if case_id is not None:
        _show_case(ApiClient().get(f"/v1/cases/{case_id}"), as_json)
        return
    answer = ApiClient().get("/v1/cases")
    if as_json:
        typer.echo(json.dumps(answer))
        return
    table = Table("case", "label", "state", "opened by", "approved by", "expires")
    for one in answer["cases"]:
        table.add_row(one["case_id"], one["label"], one["state"], one["opened_by"],
                      one["approved_by"] or "nobody", one["expires_at"])  # fmt: skip
    _OUT.print(table)


@case_app.command("explain")
@_one_line_errors
def case_explain(
    case_id: _CaseId,
    sighting_id: Annotated[str, typer.Argument(help="a sighting's id")],
    as_json: _Json = False,
) -> None:
    """Say why a sighting is, or is not, a candidate of a case; one line per reference photo."""
    answer = ApiClient().get(f"/v1/cases/{case_id}/explanation/{sighting_id}")
    typer.echo(json.dumps(answer) if as_json else "\n".join(answer["photos"]))


@case_app.command("report")
@_one_line_errors
def case_report(
    case_id: _CaseId,
    out: Annotated[Path, typer.Option("--out", help="a folder")] = Path(),
) -> None:
    """Write report.html, report.json and the redacted pictures."""
    client = ApiClient()
    contents = {
        name: client.get_bytes(f"/v1/cases/{case_id}/{name}")
        for name in ("report.html", "report.json")
    }
    pictures = [one["file"] for one in json.loads(contents["report.json"])["evidence"]]
    contents |= {
        name: client.get_bytes(f"/v1/cases/{case_id}/{name}")
        for name in pictures
        if PurePosixPath(name).parent == PurePosixPath("evidence")
    }
    for name, content in contents.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(content)
        _OUT.print(str(out / name), soft_wrap=True)


@case_app.command("close")
@_one_line_errors
def case_close(case_id: _CaseId, as_json: _Json = False) -> None:
    """End a case and destroy its data and its key."""
    _show_case(ApiClient().post(f"/v1/cases/{case_id}/close"), as_json)


def _show_case(case: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(case))
        return
    for name, value in case.items():
        if value not in (None, "", [], {}):
            _OUT.print(f"{name}: {value}", markup=False, soft_wrap=True)


def _load(config: Path | None, data_dir: Path | None) -> Config:
    if (config is None) == (data_dir is None):
        raise ControllerError("--config: give either --config FILE or --data-dir DIR")
    return load_config(config if config is not None else (data_dir or Path()) / FILE_NAME)


def _password(from_stdin: bool, *, confirm: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("password: ")
    if confirm and getpass.getpass("again: ") != password:
        raise ControllerError("password: the two are not the same; try again")
    return password


def _area(text: str) -> dict[str, str]:
    if not text:
        return {}
    values = text.split(",")
    if len(values) != 3:
        raise ControllerError("area: give X_M,Y_M,RADIUS_M")
    return dict(zip(("area_x_m", "area_y_m", "area_radius_m"), values, strict=True))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        why = f"photo: cannot read {path} ({error.strerror}); mend the path"
        raise ControllerError(why) from None


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        why = f"file: cannot read {path} ({error.strerror}); mend the path"
        raise ControllerError(why) from None
    except ValueError as error:
        raise ControllerError(f"file: {path} is not JSON ({error}); mend that line") from None


def _add_commands_of_others() -> None:
    # Only when asked for: the demo's modules are heavy, and every other command would wait.
    words = sys.argv[1:]
    wanted = words[0] if words and not words[0].startswith("-") else None
    for entry in entry_points(group="sightline.commands"):
        if wanted in (None, entry.name):
            try:
                found = entry.load()
                if isinstance(found, typer.Typer):
                    app.add_typer(found, name=entry.name)
                else:
                    app.command(entry.name)(found)
            except ImportError as error:
                # A controller without the simulation installed simply has no `demo`.
                logging.getLogger(__name__).debug("event=no_command why=%s", error)


_add_commands_of_others()

if __name__ == "__main__":
    app()
