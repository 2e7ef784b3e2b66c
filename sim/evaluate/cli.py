"""`sightline sim evaluate`: the whole chain on a city with known truth, with all its figures."""

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from sim.errors import SimError
from sim.evaluate.settings import EvaluateSettings

_ERR = Console(stderr=True, highlight=False)
_OUT = Console(highlight=False)


def evaluate_command(
    seed: Annotated[int, typer.Option(min=0, help="another seed, another city")] = 1,
    cameras: Annotated[int, typer.Option(min=2)] = 200,
    people: Annotated[int, typer.Option(min=2)] = 5_000,
    days: Annotated[int, typer.Option(min=1, max=31)] = 3,
    cases: Annotated[int, typer.Option(min=1, max=200)] = 10,
    mask_rate: Annotated[float, typer.Option(min=0.0, max=1.0, help="share masked")] = 0.6,
    clock_error: Annotated[float, typer.Option(min=0.0, help="seconds, sd over agents")] = 2.0,
    miss_rate: Annotated[float, typer.Option(min=0.0, max=0.99, help="faces missed")] = 0.2,
    photos: Annotated[
        str, typer.Option(help="reference photos of each case, by mask state")
    ] = "unmasked,masked",
    anchors: Annotated[int, typer.Option(min=0, help="places and times that a person tells")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="all figures, as JSON")] = False,
) -> None:
    """Run match, trace, route and asking for several cases, and score them."""
    try:
        settings = EvaluateSettings(
            seed=seed, cameras=cameras, people=people, days=days, cases=cases,
            mask_rate=mask_rate, clock_error_s=clock_error, miss_rate=miss_rate,
            photos=tuple(name.strip() for name in photos.split(",")), anchors=anchors,
        )  # fmt: skip
        figures = _with_progress(settings)
    except SimError as error:
        _ERR.print(f"error: {error}", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps(figures, indent=2))
    else:
        _OUT.print(_table(figures))


def _with_progress(settings: EvaluateSettings) -> dict[str, Any]:
    # Imported late: the city is large, and `--help` should not wait for it.
    from sim.evaluate.run import evaluate

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, TimeElapsedColumn(), console=_ERR, transient=True) as bar:
        task = bar.add_task("the city", total=settings.cases)

        def tell(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        return evaluate(settings, tell)


def _table(figures: dict[str, Any]) -> Table:
    table = Table("figure", "value", title="evaluation")
    for part in ("city", "trace", "baselines", "route"):
        for name, value in _flat(figures[part], part):
            table.add_row(name, str(value))
    table.add_row("seconds_per_case", str(figures["seconds_per_case"]))
    return table


def _flat(values: dict[str, Any], prefix: str) -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for name, value in values.items():
        whole = f"{prefix}.{name}"
        rows += _flat(value, whole) if isinstance(value, dict) else [(whole, value)]
    return rows
