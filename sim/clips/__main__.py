"""`python -m sim.clips`: make a clip set."""

from datetime import date
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from sim.clips import make_clips
from sim.errors import SimError
from sim.photos import fetch_photos


def main(
    seed: Annotated[int, typer.Option(help="draws everything")] = 7,
    day: Annotated[str, typer.Option(help="day of the scene, YYYY-MM-DD")] = "2026-03-02",
    out: Annotated[Path, typer.Option(help="folder of the set")] = Path("build/clips"),
    photos: Annotated[Path, typer.Option(help="cache of photographs")] = Path("build/photos"),
) -> None:
    """Make six clips and their ground truth."""
    try:
        with Progress() as bar:
            fetch_photos(photos)
            task = bar.add_task("clips")
            done = make_clips(
                seed, date.fromisoformat(day), photos, out,
                lambda n, total: bar.update(task, completed=n, total=total),
            )  # fmt: skip
    except (SimError, ValueError) as error:
        typer.echo(f"sim.clips: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(str(done.truth_file))


if __name__ == "__main__":
    typer.run(main)
