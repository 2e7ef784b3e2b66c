"""`sightline sim`: what stands in for a city when there is none."""

import typer

from sim.city.cli import city_command
from sim.evaluate.cli import evaluate_command
from sim.load.cli import load_app

app = typer.Typer(
    name="sim", no_args_is_help=True, pretty_exceptions_enable=False,
    help="Stand-ins for a city: its lives, its load, and how well the chain does on it.",
)  # fmt: skip
app.add_typer(load_app, name="load")
app.command(name="city")(city_command)
app.command(name="evaluate")(evaluate_command)


@app.callback()
def _group() -> None:
    """Stand-ins for a city."""


if __name__ == "__main__":
    app()
