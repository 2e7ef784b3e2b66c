"""The controller's calibration is the model pack's own."""

import tomllib
from pathlib import Path

import pytest

from controller.adapters.calibrations import FOLDER, CalibrationMissing, load_calibration

MANIFEST = Path(__file__).parents[3] / "agent" / "models" / "manifest.toml"


def test_it_is_the_table_of_the_model_pack() -> None:
    manifest = tomllib.loads(MANIFEST.read_text())
    space_id = manifest["pack"]["space_id"]
    packaged = tomllib.loads((FOLDER / f"{space_id}.toml").read_text())
    assert packaged["calibration"] == manifest["calibration"]
    assert load_calibration(space_id).llr(0.7, "unmasked", "unmasked") > 5


def test_an_unknown_space_is_named() -> None:
    with pytest.raises(CalibrationMissing, match="'other'"):
        load_calibration("other")
