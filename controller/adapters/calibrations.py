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


class CalibrationInvalid(ControllerError):
    """A packaged calibration is malformed; the message names the table."""


@lru_cache(maxsize=16)
def load_calibration(space_id: str) -> Calibration:
    """Return the calibration of a space; raises `CalibrationMissing` or `CalibrationInvalid`."""
    known = {}
    for path in sorted(FOLDER.glob("*.toml")):
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        known[raw["space_id"]] = raw
    if space_id not in known:
        raise CalibrationMissing(
            f"space_id: {space_id[:64]!r} has no calibration; update sightline to one that knows "
            "this model pack"
        )
    raw = known[space_id]
    try:
        return Calibration.from_mapping(
            raw["calibration"], tail=raw.get("tail"), band=raw.get("band"),
            variant=raw.get("variant"),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise CalibrationInvalid(f"calibrations/{space_id}.toml: {error}") from None


def known_spaces() -> frozenset[str]:
    """Return the template spaces that can be compared here."""
    texts = (path.read_text(encoding="utf-8") for path in FOLDER.glob("*.toml"))
    return frozenset(tomllib.loads(text)["space_id"] for text in texts)
