"""`sightline sim load`: register a fleet of load boxes, and let them all speak."""

import json
import os
import signal
import tempfile
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from types import FrameType
from typing import Annotated, Final, ParamSpec, TypeVar

import typer
from rich.console import Console

from controller.client import ApiClient, RequestFailed
from controller.errors import ControllerError
from sim.errors import SimError
from sim.load.demand import DemandSettings
from sim.load.faults import FaultSettings
from sim.load.pack import controller_key_b64, pack_facts
from sim.load.register import fleet_rows, fleet_secret, register
from sim.load.room import allow_files, source_addresses
from sim.load.run import LoadRun, Plan
from sim.load.screen import LiveLine
from sim.load.settings import BrokerSettings, FleetSettings, LoadSettings
from sim.load.summary import Summary

load_app = typer.Typer(
    no_args_is_help=True, help="A whole city's boxes on one broker, from a few processes."
)

P = ParamSpec("P")
R = TypeVar("R")
_ERR: Final = Console(stderr=True, highlight=False)
_Secret = Annotated[Path, typer.Option("--secret-file", help="the fleet's secret (mode 0600)")]
_Agents = Annotated[int, typer.Option("--agents", min=1, max=200_000, help="how many boxes")]
_First = Annotated[int, typer.Option("--first", min=1, help="number of the first box")]
_File = Annotated[Path | None, typer.Option(dir_okay=False)]


def _one_line_errors(command: Callable[P, R]) -> Callable[P, R]:
    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except (SimError, ControllerError) as error:
            for row in error.rows if isinstance(error, RequestFailed) else ():
                _ERR.print(row, markup=False)
            _ERR.print(f"error: {error}", markup=False, soft_wrap=True)
        raise typer.Exit(1)

    return run


@load_app.command("register")
@_one_line_errors
def register_fleet(
    agents: _Agents,
    secret_file: _Secret,
    first: _First = 1,
    file: Annotated[
        Path | None, typer.Option("--file", help="write the rows here instead of registering")
    ] = None,
) -> None:
    """Register boxes with the controller (SIGHTLINE_URL, SIGHTLINE_TOKEN); makes the secret."""
    rows = list(fleet_rows(fleet_secret(secret_file), first, agents))
    if file is not None:
        file.write_text(json.dumps(rows), encoding="utf-8")
        _ERR.print(f"{len(rows)} rows in {file}; `sightline fleet add --file {file}`")
        return
    _ERR.print(f"{register(ApiClient(), rows)} boxes registered")


@load_app.command("run")
@_one_line_errors
def run_load(
    agents: _Agents,
    secret_file: _Secret,
    controller_key_file: Annotated[Path, typer.Option(help="the controller's controller.pub.json")],
    host: Annotated[str, typer.Option(help="the broker")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65_535)] = 1883,
    tls: Annotated[bool, typer.Option("--tls/--no-tls")] = False,
    ca_file: _File = None,
    cert_file: _File = None,
    key_file: _File = None,
    username: Annotated[str | None, typer.Option(help="{agent} becomes each box's id")] = None,
    password_file: _File = None,
    source: Annotated[
        list[str] | None, typer.Option(help="a local address to connect from; once per address")
    ] = None,
    first: _First = 1,
    processes: Annotated[int, typer.Option(min=1, max=256, help="default: one per core")] = (
        os.cpu_count() or 1
    ),
    duration_s: Annotated[float, typer.Option(min=1.0)] = 60.0,
    warm_up_s: Annotated[
        float, typer.Option(min=0.0, help="traffic before, without rates and latencies")
    ] = 0.0,
    rate: Annotated[float | None, typer.Option(help="sightings/s of all boxes, steady")] = None,
    city: Annotated[bool, typer.Option("--city", help="a day with two peaks")] = False,
    hour: Annotated[float, typer.Option(min=0.0, max=24.0, help="--city begins here")] = 8.0,
    speed: Annotated[float, typer.Option(help="--city: its seconds in one second")] = 1.0,
    batch: Annotated[int, typer.Option(min=1, max=64, help="sightings in a batch at most")] = 64,
    linger_s: Annotated[float, typer.Option(help="a batch waits so long for more")] = 0.25,
    health_s: Annotated[float, typer.Option(help="a box tells its health so often")] = 60.0,
    connect_per_s: Annotated[float, typer.Option(help="first connections a second")] = 1_000.0,
    connect_timeout_s: Annotated[float, typer.Option(min=1.0)] = 120.0,
    drain_timeout_s: Annotated[float, typer.Option(min=0.0)] = 120.0,
    storm_every_s: Annotated[float, typer.Option(help="0: no storms")] = 0.0,
    storm_share: Annotated[float, typer.Option(help="of the connections, each time")] = 0.2,
    duplicate_share: Annotated[float, typer.Option(help="of the batches")] = 0.0,
    late_share: Annotated[float, typer.Option(help="of the batches")] = 0.0,
    late_s: Annotated[float, typer.Option(help="a late batch is held back about so long")] = 120.0,
    ack_check_share: Annotated[
        float, typer.Option(help="of acks whose signature is checked; less costs less CPU")
    ] = 1.0,
    seed: Annotated[int, typer.Option(min=0)] = 7,
    cohort: Annotated[Path | None, typer.Option(help=".npz; default: the model pack's")] = None,
    ledger: Annotated[Path | None, typer.Option(help="a folder for the sightings' ids")] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="ask the controller whether all is there once")
    ] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="write the figures here")] = None,
) -> None:
    """Connect every box, let people pass, drain, and say what came of it."""
    if (rate is None) != city:
        raise SimError("rate: give either --rate R or --city")
    check_room(agents, processes)
    broker = BrokerSettings(
        host=host, port=port, tls=tls or ca_file is not None, ca_file=ca_file,
        cert_file=cert_file, key_file=key_file, username=username, password_file=password_file,
        sources=source_addresses(agents, host, tuple(source or ())),
    )  # fmt: skip
    faults = FaultSettings(
        storm_every_s=storm_every_s, storm_share=storm_share, duplicate_share=duplicate_share,
        late_share=late_share, late_s=late_s,
    )  # fmt: skip
    if ledger is not None:
        ledger.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="sightline-load-") as folder:
        facts = pack_facts(cohort, Path(folder))
        settings = LoadSettings(
            fleet=FleetSettings(
                secret_file=secret_file.absolute(),
                controller_key_b64=controller_key_b64(controller_key_file),
                cohort_file=facts.cohort_file, space_id=facts.space_id, variant=facts.variant,
                model_pack_id=facts.model_pack_id, first=first, count=agents,
            ),
            broker=broker, demand=DemandSettings(rate, hour, speed), faults=faults, total=agents,
            batch=batch, linger_s=linger_s, health_s=health_s, connect_per_s=connect_per_s,
            checked_share=ack_check_share, seed=seed,
            ledger_dir=None if ledger is None else ledger.absolute(),
        )  # fmt: skip
        plan = Plan(processes, duration_s, warm_up_s, connect_timeout_s, drain_timeout_s)
        _finish(_run(settings, plan, verify=verify), json_file)


def check_room(agents: int, processes: int) -> None:
    """Raise `SimError` if a process of so many boxes could not open its sockets."""
    allow_files(-(-agents // processes))


def _run(settings: LoadSettings, plan: Plan, *, verify: bool) -> Summary:
    # A shell starts what runs in its background with SIGINT ignored: take it back.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    with LiveLine(_ERR) as screen:
        return LoadRun(settings, plan, screen, ApiClient() if verify else None).run()


def _finish(summary: Summary, json_file: Path | None) -> None:
    Console(highlight=False).print(summary.table())
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(summary.to_json(), indent=2) + "\n", encoding="utf-8")
    if summary.failed:
        _ERR.print(
            "error: not every sighting is there exactly once: "
            f"{summary.outstanding} outstanding, {summary.waiting} never sent"
        )
        raise typer.Exit(1)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
