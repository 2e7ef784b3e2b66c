"""`sightline-agent`: the technician's commands on the box."""

import json
import signal
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from agent import cli_adaptation, cli_calibrate, cli_vision
from agent.build import build_runner
from agent.clock import SystemClock
from agent.config import load_config
from agent.doctor import examine
from agent.errors import AgentError
from agent.identity import create_identity
from agent.logs import set_up
from wire.errors import WireError
from wire.topics import check_agent_id

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Sightline's camera agent.")
app.add_typer(cli_vision.app, name="vision")
app.add_typer(cli_adaptation.app, name="adaptation")
app.add_typer(cli_calibrate.app, name="calibrate")

ConfigFile = Annotated[Path, typer.Option("--config", help="the agent's TOML file")]
MARKS = {"pass": "ok  ", "warn": "WARN", "fail": "FAIL"}


@app.command()
def init(
    data_dir: Annotated[Path, typer.Option(help="where keys and data are kept")],
    agent_id: Annotated[str, typer.Option(help="this box's name")],
    camera_id: Annotated[str, typer.Option(help="the camera it looks through")],
) -> None:
    """Make this box's keys; print what the controller must know of it."""
    try:
        check_agent_id(agent_id)
        identity = create_identity(data_dir, agent_id=agent_id, camera_id=camera_id)
    except (AgentError, WireError) as error:
        _fail(error)
    typer.echo(json.dumps(identity.public(), indent=2))


@app.command()
def run(
    config: ConfigFile,
    exit_when_done: Annotated[
        bool, typer.Option(help="end when a file has been read and delivered")
    ] = False,
) -> None:
    """Watch the camera, publish sightings, answer queries, until SIGTERM or Ctrl-C."""
    try:
        settings = load_config(config)
        set_up(settings.agent.log_level)
        runner = build_runner(settings)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: runner.stop.set())
        runner.run(exit_when_done=exit_when_done)
    except (AgentError, WireError) as error:
        _fail(error)


@app.command()
def doctor(
    config: ConfigFile,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False,
) -> None:
    """Check this box; exit code 1 if anything fails, each finding with its mend."""
    try:
        settings = load_config(config)
    except AgentError as error:
        _fail(error)
    failed = False
    for check in examine(settings, SystemClock()):
        failed = failed or check.verdict == "fail"
        if as_json:
            typer.echo(json.dumps(check.as_json()))
            continue
        typer.echo(f"{MARKS[check.verdict]} {check.name}: {check.seen}")
        if check.mend:
            typer.echo(f"     -> {check.mend}")
    raise typer.Exit(1 if failed else 0)


def _fail(error: Exception) -> NoReturn:
    typer.echo(f"sightline-agent: {error}", err=True)
    raise typer.Exit(1)


if __name__ == "__main__":
    app()
