"""`sightline-agent adaptation`: learn the adaptation anew from what boxes have seen."""

import hashlib
import json
import re
import shutil
from functools import reduce
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer

from agent.build import STORE_FILE
from agent.config import load_config
from agent.errors import AgentError
from agent.identity import load_identity
from agent.models.pack import MANIFEST, ModelPack, load_pack
from agent.store import Store
from agent.vision.adaptation import (
    MIN_FACES,
    AdaptationInvalid,
    CohortStatistics,
    statistics_from_bytes,
    statistics_to_bytes,
)

app = typer.Typer(no_args_is_help=True, help="Learn the adaptation from a deployment's own faces.")
SPACE_LINE: Final = re.compile(r'^space_id = ".*"$', re.MULTILINE)


@app.command()
def export(
    config: Annotated[Path, typer.Option(help="the agent's TOML file")],
    out: Annotated[Path, typer.Option(help="file for the statistics")],
) -> None:
    """Write this box's face statistics: counts, means, covariances; no face and no picture."""
    try:
        settings = load_config(config)
        identity = load_identity(settings.agent.data_dir)
        store = Store(settings.agent.data_dir / STORE_FILE, identity.store_key)
        data = store.load_cohort()
        store.close()
        cohort = _enough(data, identity.agent_id)
        out.write_bytes(data)
    except (AgentError, OSError) as error:
        _fail(error)
    typer.echo(json.dumps({"out": str(out), **_counts(cohort)}))


@app.command()
def learn(
    statistics: Annotated[list[Path], typer.Argument(help="files that boxes exported")],
    out: Annotated[Path, typer.Option(help="folder for the new model pack; must not exist")],
    pack: Annotated[Path | None, typer.Option(help="pack to start from; the packaged one")] = None,
) -> None:
    """Join boxes' statistics and write a model pack with a space of its own."""
    try:
        old = load_pack(pack)
        cohorts = [statistics_from_bytes(f.read_bytes()) for f in statistics]
        joined = reduce(CohortStatistics.joined, cohorts)
        # Boxes cannot draw masks on faces they no longer have: that scatter is the old pack's.
        whole = CohortStatistics(joined.unmasked, joined.masked, old.cohort().mask_scatter)
        whole.adaptation()
        space_id = write_pack(old, whole, out)
    except (AgentError, OSError) as error:
        _fail(error)
    typer.echo(json.dumps({"out": str(out), "space_id": space_id, **_counts(whole)}))


def write_pack(old: ModelPack, cohort: CohortStatistics, out: Path) -> str:
    """Copy a pack with another adaptation; return its space, named after the statistics."""
    data = statistics_to_bytes(cohort)
    digest = hashlib.sha256(data).hexdigest()
    file = old.file("adaptation", "cohort")
    lineage = old.space_id.rpartition("-")[0]
    space_id = f"{lineage}-f{digest[:8]}"
    shutil.copytree(
        file.path.parent, out, ignore=shutil.ignore_patterns("*.py", "__pycache__", "*.json")
    )
    (out / file.path.name).write_bytes(data)
    manifest = (out / MANIFEST).read_text(encoding="utf-8")
    manifest = SPACE_LINE.sub(f'space_id = "{space_id}"', manifest, count=1)
    (out / MANIFEST).write_text(manifest.replace(file.sha256, digest), encoding="utf-8")
    load_pack(out)
    return space_id


def _enough(data: bytes, agent_id: str) -> CohortStatistics:
    if not data:
        raise AdaptationInvalid(f"adaptation: {agent_id} has counted no face yet; wait longer")
    cohort = statistics_from_bytes(data)
    # The statistics of a handful of faces would say something about those faces.
    for name, seen in (("unmasked", cohort.unmasked), ("masked", cohort.masked)):
        if 0 < seen.count < MIN_FACES:
            raise AdaptationInvalid(
                f"adaptation.{name}: {seen.count} faces counted, {MIN_FACES} are needed before "
                "they may leave the box; wait longer"
            )
    return cohort


def _counts(cohort: CohortStatistics) -> dict[str, int]:
    return {"unmasked_faces": cohort.unmasked.count, "masked_faces": cohort.masked.count}


def _fail(error: Exception) -> NoReturn:
    typer.echo(f"error: {error}", err=True)
    raise typer.Exit(1)
