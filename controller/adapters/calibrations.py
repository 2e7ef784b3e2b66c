"""The calibration of each template space, one packaged TOML file per space."""

import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Final

from controller.domain.match import Calibration
from controller.errors import ControllerError

FOLDER: Final = Path(__file__).parent.parent / "calibrations"


class CalibrationMissing(ControllerError):
    """There is no calibration for a template space."""


@lru_cache(maxsize=16)
def load_calibration(space_id: str) -> Calibration:
    """Return the calibration of a space; raises `CalibrationMissing` naming the mend."""
    known = {}
    for path in sorted(FOLDER.glob("*.toml")):
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        known[raw["space_id"]] = raw["calibration"]
    if space_id not in known:
        raise CalibrationMissing(
            f"space_id: {space_id[:64]!r} has no calibration; update sightline to one that knows "
            "this model pack"
        )
    return Calibration.from_mapping(known[space_id])
