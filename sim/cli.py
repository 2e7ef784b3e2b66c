"""`sightline sim`: what stands in for a city when there is none."""

import typer

from sim.evaluate.cli import evaluate_command
from sim.load.cli import load_app

app = typer.Typer(
    name="sim", no_args_is_help=True, pretty_exceptions_enable=False,
    help="Stand-ins for a city: load, evaluation.",
)  # fmt: skip
app.add_typer(load_app, name="load")
app.command("evaluate")(evaluate_command)


@app.callback()
def _group() -> None:
    """Stand-ins for a city."""


if __name__ == "__main__":
    app()
