"""Pool seeded scenes and print what the contact assessment makes of them."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from controller.domain.contacts import assess_contacts, load_rule
from sim.scenes.generate import scenes
from sim.scenes.people import CALIBRATION
from sim.scenes.score import Judged, by_range, by_visible, counts, figures, judge, trade_off


def pooled(seed: int, count: int, rule_name: str, height_m: float | None = None) -> list[Judged]:
    """Judge every pair of `count` scenes."""
    rule = load_rule(rule_name)
    judged: list[Judged] = []
    for scene in scenes(seed, count, distance_m=rule.distance_m, height_m=height_m):
        found = assess_contacts(scene.views, rule, CALIBRATION, seed=seed)
        judged += judge(scene, found)
    return judged


def main(
    seed: Annotated[int, typer.Option()] = 1,
    count: Annotated[int, typer.Option("--scenes", min=1, max=20_000)] = 700,
    rule: Annotated[str, typer.Option()] = "cdc-2020-10-21",
    pole: Annotated[float | None, typer.Option("--pole-m", min=2.5, max=12)] = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Print F1, coverage, undecided share and recall by visible share over seeded scenes."""
    judged, known = pooled(seed, count, rule, pole), load_rule(rule)
    found = {
        "seed": seed, "scenes": count, "rule": rule, "pole_m": pole,
        **asdict(figures(judged, known)), "answers": dict(counts(judged)),
        "by_visible": by_visible(judged, known), "by_range": by_range(judged, known),
        "trade_off": trade_off(judged, known),
    }  # fmt: skip
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    for name, value in found.items():
        typer.echo(f"{name}: {value}")


if __name__ == "__main__":
    typer.run(main)
