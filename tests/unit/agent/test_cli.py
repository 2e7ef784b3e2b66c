"""The technician's commands: one line that names the field and the mend, and no success code."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.cli import app

CONFIG = """
[agent]
id = "box-1"
data_dir = "{folder}/data"
[controller]
signing_public_b64 = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
[broker]
host = "{host}"
port = 1
tls = false
[camera]
id = "{camera}"
source = "file:{folder}/bad.mp4"
start_utc = "2026-03-02T10:00:00Z"
"""


@pytest.fixture
def box(tmp_path: Path) -> Path:
    (tmp_path / "bad.mp4").write_bytes(b"nonsense")
    done = init(tmp_path)
    assert done.exit_code == 0
    return tmp_path


def init(folder: Path, agent_id: str = "box-1"):
    words = ["init", "--data-dir", str(folder / "data"), "--agent-id", agent_id]
    return CliRunner().invoke(app, [*words, "--camera-id", "cam-1"])


def run(folder: Path, command: str = "run", host: str = "127.0.0.1", camera: str = "cam-1"):
    file = folder / "agent.toml"
    file.write_text(CONFIG.format(folder=folder, host=host, camera=camera))
    return CliRunner().invoke(app, [command, "--config", str(file)])


def test_the_private_keys_are_readable_by_their_owner_only(box: Path) -> None:
    assert (box / "data" / "device.key").stat().st_mode & 0o777 == 0o600


def test_keys_are_never_replaced(box: Path) -> None:
    before = (box / "data" / "device.key").read_bytes()
    again = init(box)
    assert again.exit_code == 1
    assert "already holds a device key" in again.output
    assert (box / "data" / "device.key").read_bytes() == before


def test_an_agent_id_that_cannot_be_a_topic_is_refused(tmp_path: Path) -> None:
    done = init(tmp_path, "a/b")
    assert done.exit_code == 1
    assert "agent_id" in done.output
    assert not (tmp_path / "data").exists()


def test_an_unreadable_video_is_one_line_that_names_it(box: Path) -> None:
    done = run(box)
    assert done.exit_code == 1
    last = done.output.strip().splitlines()[-1]
    assert "camera.source" in last
    assert "check the path" in last


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"host": "broker.example"}, "tls = false"), ({"camera": "cam-2"}, "camera.id")],
)
def test_a_wrong_configuration_names_its_field(
    box: Path, changes: dict[str, str], named: str
) -> None:
    done = run(box, **changes)
    assert done.exit_code == 1
    assert named in done.output


def test_the_doctor_names_fault_and_mend_and_goes_on(box: Path) -> None:
    done = run(box, "doctor")
    assert done.exit_code == 1
    assert "FAIL camera" in done.output
    assert "FAIL broker" in done.output
    assert "ok   models" in done.output
    assert "check broker.host" in done.output


def test_the_doctor_warns_of_an_accelerator_that_is_not_there(box: Path) -> None:
    run(box)
    file = box / "agent.toml"
    file.write_text(file.read_text() + '[vision]\naccelerator = "edgetpu"\n')
    done = CliRunner().invoke(app, ["doctor", "--config", str(file)])
    assert "WARN models" in done.output
    assert "plug in the accelerator" in done.output
