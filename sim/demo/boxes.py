"""The demo's camera boxes: the real agent, set up through its own commands, one per clip."""

import json
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sim.demo.processes import run_command
from sim.demo.truth import TruthCamera
from wire.times import from_us

AGENT: Final = (sys.executable, "-m", "agent.cli")


@dataclass(frozen=True, slots=True)
class Box:
    """One camera box: its agent, its camera's truth, and where its files are."""

    agent_id: str
    camera: TruthCamera
    directory: Path

    @property
    def config_path(self) -> Path:
        """The agent's configuration."""
        return self.directory / "agent.toml"

    @property
    def data_dir(self) -> Path:
        """The agent's data: keys, store, spool, audit."""
        return self.directory / "data"

    def initialise(self) -> None:
        """Make the box's keys with `sightline-agent init`, unless they exist."""
        if (self.data_dir / "identity.json").exists():
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        run_command(
            [*AGENT, "init", "--data-dir", str(self.data_dir), "--agent-id", self.agent_id,
             "--camera-id", self.camera.camera_id]
        )  # fmt: skip

    def registration(self) -> dict[str, object]:
        """Return the row that `sightline fleet add` takes for this box."""
        public = json.loads((self.data_dir / "identity.json").read_text(encoding="utf-8"))
        return {**public, "x_m": self.camera.x_m, "y_m": self.camera.y_m}

    def configure(self, *, controller_key_b64: str, broker_port: int, pace: str = "fast") -> None:
        """Write the agent's configuration and its camera's calibration."""
        calibration = self.directory / "calibration.json"
        calibration.write_text(json.dumps(self.camera.calibration), encoding="utf-8")
        sections: dict[str, dict[str, object]] = {
            "agent": {
                "id": self.agent_id,
                "data_dir": str(self.data_dir.resolve()),
                "health_every_s": 2.0,
            },
            "controller": {"signing_public_b64": controller_key_b64},
            "broker": {"host": "127.0.0.1", "port": broker_port, "tls": False},
            "camera": {
                "id": self.camera.camera_id,
                "source": f"file:{self.camera.clip.resolve()}",
                "start_utc": from_us(self.camera.start_us).isoformat().replace("+00:00", "Z"),
                "pace": pace,
                "calibration_file": str(calibration.resolve()),
            },
            "vision": {"threads": 1},
        }
        self.config_path.write_text(to_toml(sections), encoding="utf-8")

    def command(self) -> list[str]:
        """Return the command that runs this box's agent."""
        return [*AGENT, "run", "--config", str(self.config_path)]


def make_boxes(cameras: Sequence[TruthCamera], directory: Path) -> tuple[Box, ...]:
    """Return one initialised box per camera, named `box-<camera>`."""
    boxes = tuple(
        Box(f"box-{one.camera_id}", one, directory / f"box-{one.camera_id}")
        for one in sorted(cameras, key=lambda camera: camera.camera_id)
    )
    with ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(Box.initialise, boxes))
    return boxes


def to_toml(sections: Mapping[str, Mapping[str, object]]) -> str:
    """Write a configuration of flat sections (text, numbers, booleans, lists) as TOML."""
    lines = []
    for name, values in sections.items():
        lines.append(f"[{name}]")
        # JSON's strings, numbers, booleans and lists of these are valid TOML too.
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    return "\n".join(lines) + "\n"
