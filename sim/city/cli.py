"""`sightline sim city`: the figures of a synthetic city, checked against the real model's."""

import json
from typing import Annotated, Any

import typer

from sim.city.facts import check, facts
from sim.city.types import CityPlan
from sim.errors import SimError


def city_command(
    seed: Annotated[int, typer.Option(min=0, help="another seed, another city")] = 1,
    cameras: Annotated[int, typer.Option(min=2)] = 200,
    people: Annotated[int, typer.Option(min=2)] = 5_000,
    days: Annotated[int, typer.Option(min=1, max=31)] = 3,
    mask_rate: Annotated[float, typer.Option(min=0.0, max=1.0, help="share masked")] = 0.6,
    clock_error: Annotated[float, typer.Option(min=0.0, help="seconds, sd over agents")] = 2.0,
    miss_rate: Annotated[float, typer.Option(min=0.0, max=0.99, help="passages missed")] = 0.2,
    as_json: Annotated[bool, typer.Option("--json", help="all figures, as JSON")] = False,
) -> None:
    """Make a synthetic city, print its figures, and fail if they are not honest."""
    try:
        plan = CityPlan(seed, cameras, people, days, min(10, people), mask_rate, clock_error,
                        miss_rate)  # fmt: skip
        found = facts(plan)
        typer.echo(json.dumps(found, indent=2) if as_json else _lines(found))
        check(found, plan)
    except SimError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None


def _lines(found: dict[str, Any]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in found.items())
