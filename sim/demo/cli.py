"""`sightline demo`: the command line of the demo."""

import signal
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console

from sim.demo.run import Demo, DemoSettings
from sim.demo.screen import Screen
from sim.errors import SimError

_INTERRUPTED = 130


def demo(
    seed: Annotated[int, typer.Option(min=0, help="times, order and photographs")] = 7,
    out: Annotated[Path, typer.Option(help="where report, checks and logs go")] = Path(
        "build/demo"
    ),
    light_agents: Annotated[int, typer.Option(min=0, max=2000)] = 500,
    close: Annotated[bool, typer.Option("--close", help="close the case, show it is gone")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="keep keys, records, gallery")] = False,
) -> None:
    """Do the whole job on this machine: six cameras, hundreds of light agents, one case."""
    console = Console()
    settings = DemoSettings(
        out=out, cache=out.parent, seed=seed, light_agents=light_agents, close=close, keep=keep
    )
    signal.signal(signal.SIGTERM, _interrupt)
    run = Demo(settings, Screen(console))
    try:
        holds = run.run()
    except SimError as error:
        typer.echo(f"demo: {error}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        typer.echo("demo: stopped; every process it started has ended", err=True)
        raise typer.Exit(_INTERRUPTED) from None
    failed = [check.name for check in run.results if not check.holds]
    if not holds:
        typer.echo(f"demo: {len(failed)} checks fail: {'; '.join(failed)}", err=True)
        raise typer.Exit(1)
    console.print(f"[green]All {len(run.results)} checks hold.[/] Open {out / 'report.html'}")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
