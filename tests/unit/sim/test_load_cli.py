"""`sightline sim load`: a group among the controller's commands, errors in one line."""

import json
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from typer.testing import CliRunner

from controller import cli
from sim.cli import app
from tests.unit.sim.light.worlds import FakeController

RUNNER = CliRunner()


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    (tmp_path / "secret").write_bytes(b"s" * 32)
    key = {"signing_public_b64": FakeController().public_b64}
    (tmp_path / "controller.pub.json").write_text(json.dumps(key))
    return [
        "load", "run", "--secret-file", str(tmp_path / "secret"),
        "--controller-key-file", str(tmp_path / "controller.pub.json"), "--agents", "2",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "error: rate: give either --rate R or --city"),
        (["--city", "--rate", "5"], "error: rate: give either --rate R or --city"),
        (["--rate", "5", "--late-share", "2"], "error: late_share: 2.0 is no share"),
        (["--rate", "5", "--host", "10.1.1.1"], "error: tls: without TLS only this machine"),
        (["--rate", "5", "--controller-key-file", "/none"], "error: controller_key_file: /none"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(files: list[str], words: list[str], why: str) -> None:
    done = RUNNER.invoke(app, [*files, *words])
    assert done.exit_code == 1
    assert why in done.stderr
    assert "Traceback" not in done.output


def test_rows_can_be_written_to_a_file(tmp_path: Path) -> None:
    words = ["--agents", "3", "--secret-file", str(tmp_path / "s"), "--file", str(tmp_path / "f")]
    assert RUNNER.invoke(app, ["load", "register", *words]).exit_code == 0
    rows = json.loads((tmp_path / "f").read_text())
    assert [row["agent_id"] for row in rows] == ["light-001", "light-002", "light-003"]


def test_a_group_of_others_becomes_a_group_of_the_controllers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry = EntryPoint("sim", "sim.cli:app", "sightline.commands")
    monkeypatch.setattr(cli, "entry_points", lambda group: [entry])
    monkeypatch.setattr(sys, "argv", ["sightline", "sim", "load"])
    monkeypatch.setattr(cli.app, "registered_groups", list(cli.app.registered_groups))
    cli._add_commands_of_others()
    done = RUNNER.invoke(cli.app, ["sim", "load", "--help"])
    assert done.exit_code == 0
    assert "register" in done.output
