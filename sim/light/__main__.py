"""`python -m sim.light`: run a fleet of light agents until SIGTERM or Ctrl-C."""

import base64
import logging
import signal
import sys
import time
from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sim.errors import SimError
from sim.light.agent import LightAgent, LightSettings
from sim.light.fleet import LightFleet
from sim.light.identity import LightIdentity, read_fleet_secret
from sim.light.strangers import Cohort, day_of_passages, load_cohort

app = typer.Typer(add_completion=False)


def _now_us() -> int:
    return time.time_ns() // 1_000


def _controller_key(text: str) -> Ed25519PublicKey:
    try:
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
    except ValueError:
        raise SimError("controller-key: give the 32-byte public key as base64") from None


def _agent(
    secret: bytes,
    number: int,
    settings: LightSettings,
    cohort: Cohort,
    day: date,
    seed: int,
    spread_s: float,
) -> LightAgent:
    rng = np.random.default_rng([seed, number])
    passages = day_of_passages(cohort, rng, day)
    batches = -(-len(passages) // settings.batch_size)
    release_s = np.sort(rng.uniform(0.0, spread_s, size=batches)) + time.monotonic()
    return LightAgent(
        LightIdentity.derive(secret, number),
        settings,
        passages,
        now_us=_now_us(),
        release_s=tuple(float(moment) for moment in release_s),
    )


@app.command()
def run(
    secret_file: Annotated[Path, typer.Option(help="the fleet secret, 32 bytes")],
    controller_key: Annotated[str, typer.Option(help="controller's public signing key, base64")],
    cohort: Annotated[Path, typer.Option(help=".npz with cohort_mean and cohort_cov")],
    day: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="UTC day of the scene")],
    port: Annotated[int, typer.Option(min=1, max=65535)],
    space_id: Annotated[str, typer.Option()],
    variant: Annotated[str, typer.Option()],
    model_pack_id: Annotated[str, typer.Option()],
    host: Annotated[str, typer.Option()] = "127.0.0.1",
    first: Annotated[int, typer.Option(min=1, help="number of the first agent")] = 1,
    count: Annotated[int, typer.Option(min=1)] = 500,
    seed: Annotated[int, typer.Option(min=0)] = 7,
    batch_size: Annotated[int, typer.Option(min=1, max=64)] = 16,
    spread_s: Annotated[float, typer.Option(min=0.0, help="publish over this long")] = 20.0,
    status_file: Annotated[Path | None, typer.Option()] = None,
    ledger_file: Annotated[Path | None, typer.Option()] = None,
) -> None:
    """Run light agents that publish one day of strangers and answer queries."""
    logging.basicConfig(
        level=logging.INFO,
        format="ts=%(asctime)s level=%(levelname)s logger=%(name)s %(message)s",
    )
    stop: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: stop.append(received))
    try:
        secret = read_fleet_secret(secret_file)
        strangers = load_cohort(cohort)
        settings = LightSettings(
            _controller_key(controller_key), space_id, variant, model_pack_id, batch_size
        )
    except SimError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    agents = [
        _agent(secret, number, settings, strangers, day.date(), seed, spread_s)
        for number in range(first, first + count)
    ]
    fleet = LightFleet(
        agents, (host, port), _now_us, status_file=status_file, ledger_file=ledger_file
    )
    fleet.run(lambda: bool(stop))


if __name__ == "__main__":
    sys.exit(app())
