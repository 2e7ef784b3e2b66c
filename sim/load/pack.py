"""What a load needs to know of models and controller: the space of its templates, and the key."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from sim.errors import SimError

VARIANT: Final = "float-centerface-fp16-mirror"


@dataclass(frozen=True, slots=True)
class PackFacts:
    """The model pack's names, and a file that says how its embeddings lie."""

    model_pack_id: str
    space_id: str
    cohort_file: Path
    variant: str = VARIANT


def pack_facts(cohort: Path | None, folder: Path) -> PackFacts:
    """Read the installed pack; without a `cohort` file its own spread is written to `folder`."""
    # Only here: a load process needs nothing of the agent.
    from agent.errors import AgentError
    from agent.models.pack import load_pack

    try:
        pack = load_pack(verify=False)
        if cohort is None:
            mean, covariance = pack.cohort().adapted_spread("unmasked")
            cohort = folder / "cohort.npz"
            np.savez(cohort, cohort_mean=mean, cohort_cov=covariance)
    except AgentError as error:
        raise SimError(str(error)) from None
    return PackFacts(pack.id, pack.space_id, cohort.absolute())


def controller_key_b64(path: Path) -> str:
    """Return the controller's public signing key from its controller.pub.json."""
    try:
        key = str(json.loads(path.read_text(encoding="utf-8"))["signing_public_b64"])
        if len(base64.b64decode(key, validate=True)) == 32:
            return key
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise SimError(
        f"controller_key_file: {path} holds no signing_public_b64 of 32 bytes; copy the "
        "controller.pub.json that `sightline controller init` wrote"
    )
