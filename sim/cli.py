"""`sightline sim`: what stands in for a city when there is none."""

import typer

from sim.load.cli import load_app

app = typer.Typer(
    name="sim", no_args_is_help=True, pretty_exceptions_enable=False,
    help="Stand-ins for a city: load.",
)  # fmt: skip
app.add_typer(load_app, name="load")


@app.callback()
def _group() -> None:
    """Stand-ins for a city."""


if __name__ == "__main__":
    app()
