"""`python -m sim.demo`, the same as `sightline demo`."""

import typer

from sim.demo.cli import demo

if __name__ == "__main__":
    typer.run(demo)
