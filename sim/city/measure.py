"""How long a city takes and how much memory: `python -m sim.city.measure --cameras 200 ...`."""

import json
import resource
import time
from typing import Annotated

import numpy as np
import typer

from sim.city.city import City
from sim.city.types import CityPlan


def main(
    seed: Annotated[int, typer.Option()] = 1,
    cameras: Annotated[int, typer.Option(min=2)] = 200,
    people: Annotated[int, typer.Option(min=2)] = 5_000,
    days: Annotated[int, typer.Option(min=1, max=31)] = 3,
    least: Annotated[float | None, typer.Option(help="keep only what is as similar")] = None,
) -> None:
    """Make a city with ten cases, gather its sightings, and print seconds, megabytes and counts."""
    begun = [time.process_time()]
    city = City(CityPlan(seed, cameras, people, days, min(10, people)))
    begun.append(time.process_time())
    links = city.links
    begun.append(time.process_time())
    probes = city.probes()
    begun.append(time.process_time())
    whole = city.gathered(probes, least=least)
    begun.append(time.process_time())
    alike = [
        int((whole.cosines[:, probes.case == case].max(axis=1) >= 0.45).sum())
        for case in range(city.plan.cases)
    ]
    names = ("city_s", "links_s", "photos_s", "sightings_s")
    figures = {
        **{name: round(s, 2) for name, s in zip(names, np.diff(begun).tolist(), strict=True)},
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "sightings": whole.count,
        "kept": len(whole.rows),
        "sightings_per_camera_day": round(whole.count / cameras / days, 1),
        "links_per_camera": round(len(links.start) / cameras, 2),
        "above_0.45_per_case_day": round(float(np.mean(alike)) / days, 1),
    }
    typer.echo(json.dumps(figures, indent=2))


if __name__ == "__main__":
    typer.run(main)
