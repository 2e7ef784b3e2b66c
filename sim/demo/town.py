"""The demo's town: broker, controller, six camera boxes and hundreds of light agents."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np

from agent.models.pack import ModelPack, load_pack
from sim.broker import Broker, BrokerSettings
from sim.demo.boxes import Box, make_boxes
from sim.demo.city import light_places
from sim.demo.office import Office
from sim.demo.processes import Processes
from sim.demo.truth import TruthCamera
from sim.demo.watch import HealthWatch
from sim.errors import SimError
from sim.light.identity import LightIdentity, create_fleet_secret

_LIGHT: Final = "light-agents"
_POLL_S: Final = 0.5
LIGHT_VARIANT: Final = "float-centerface-fp16-mirror"


@dataclass(frozen=True, slots=True)
class TownSettings:
    """Where a town lives, how large it is, and how fast its clips are read."""

    directory: Path
    log_dir: Path
    day: date
    seed: int = 7
    light_agents: int = 500
    light_spread_s: float = 20.0
    light_batch_size: int = 16
    pace: str = "fast"
    broker: BrokerSettings | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the town is: frames seen of all, sightings made and acknowledged."""

    frames: int
    frames_total: int
    sightings: int
    acknowledged: int
    light_total: int
    done: bool


class Town:
    """Every part is a real process of its own; `stop` ends all of them."""

    def __init__(self, cameras: tuple[TruthCamera, ...], settings: TownSettings) -> None:
        self.settings: Final = settings
        self.cameras: Final = cameras
        self.processes: Final = Processes(settings.log_dir)
        self.broker: Final = Broker(settings.directory / "broker", settings.broker)
        self.office: Final = Office(settings.directory / "controller", self.processes)
        self.boxes: tuple[Box, ...] = ()
        self.watch: HealthWatch | None = None

    @property
    def light_ledger(self) -> Path:
        """One id a line: every sighting that the light agents have made."""
        return self.settings.directory / "light.ids"

    def prepare_agents(self) -> list[dict[str, object]]:
        """Give every agent its identity; return the rows to register."""
        self.boxes = make_boxes(self.cameras, self.settings.directory)
        rows = [box.registration() for box in self.boxes]
        if self.settings.light_agents:
            rows += self._light_rows()
        keys = {str(row["agent_id"]): str(row["signing_public_b64"]) for row in rows}
        self.watch = HealthWatch(keys)
        return rows

    def start_boxes(self) -> None:
        """Configure and start every camera box."""
        for box in self.boxes:
            box.configure(
                controller_key_b64=self.office.signing_public_b64,
                broker_port=self.broker.port,
                pace=self.settings.pace,
            )
            self.start_box(box)

    def start_box(self, box: Box) -> None:
        """Start one camera box (again)."""
        self.processes.start(box.agent_id, box.command())

    def start_light(self) -> None:
        """Start the light agents, all in one process."""
        if not self.settings.light_agents:
            return
        pack = load_pack()
        options = {
            "--secret-file": self._secret_path,
            "--controller-key": self.office.signing_public_b64,
            "--cohort": self._write_cohort(pack),
            "--day": self.settings.day.isoformat(),
            "--port": self.broker.port,
            "--space-id": pack.space_id,
            "--variant": LIGHT_VARIANT,
            "--model-pack-id": pack.id,
            "--count": self.settings.light_agents,
            "--seed": self.settings.seed,
            "--batch-size": self.settings.light_batch_size,
            "--spread-s": self.settings.light_spread_s,
            "--status-file": self._light_status_path,
            "--ledger-file": self.light_ledger,
        }
        words = [str(word) for pair in options.items() for word in pair]
        self.processes.start(_LIGHT, [sys.executable, "-m", "sim.light", *words])

    def _write_cohort(self, pack: ModelPack) -> Path:
        """Describe how strangers lie after the pack's adaptation, for the light agents to draw."""
        mean, covariance = pack.cohort().adapted_spread("unmasked")
        target = self.settings.directory / "cohort.npz"
        np.savez(target, cohort_mean=mean, cohort_cov=covariance)
        return target

    def start_watch(self) -> None:
        """Begin to listen to the agents' health."""
        if self.watch is None:
            raise SimError("town: prepare the agents before watching them")
        self.watch.start(self.broker.host, self.broker.port)

    def progress(self) -> Progress:
        """Return how far agents and acknowledgements are, from health and the light status."""
        health = self.watch.latest() if self.watch is not None else {}
        boxes = [health[box.agent_id] for box in self.boxes if box.agent_id in health]
        light = self._light_status()
        done = (
            len(boxes) == len(self.boxes)
            and all(one.source_ended and one.spool_batches == 0 for one in boxes)
            and light["acked"] == light["sightings"]
            and light["agents"] == self.settings.light_agents
        )
        made = sum(one.sightings_total for one in boxes)
        return Progress(
            frames=sum(one.frames_total for one in boxes),
            frames_total=sum(box.camera.frames for box in self.boxes),
            sightings=made + light["produced"],
            acknowledged=light["acked"] + (made if done else 0),
            light_total=light["sightings"],
            done=done,
        )

    def light_share(self, stage: str) -> float:
        """Return which share of the light sightings is `produced` or `acked`."""
        light = self._light_status()
        return light[stage] / max(light["sightings"], 1)

    def wait_until_done(
        self, timeout_s: float, report: Callable[[Progress], None] | None = None
    ) -> Progress:
        """Wait until every clip is read and every sighting acknowledged; `SimError` if not."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            progress = self.progress()
            if report is not None:
                report(progress)
            if progress.done:
                return progress
            self.processes.check()
            if time.monotonic() > deadline_s:
                raise SimError(f"agents: not done in {timeout_s:.0f} s ({progress})")
            time.sleep(_POLL_S)

    def stop(self) -> None:
        """Stop every process, the broker last."""
        if self.watch is not None:
            self.watch.stop()
        self.processes.stop_all()
        self.broker.stop()

    @property
    def _secret_path(self) -> Path:
        return self.settings.directory / "light.secret"

    @property
    def _light_status_path(self) -> Path:
        return self.settings.directory / "light.json"

    def _light_rows(self) -> list[dict[str, object]]:
        self.settings.directory.mkdir(parents=True, exist_ok=True)
        secret = create_fleet_secret(self._secret_path)
        count = self.settings.light_agents
        places = light_places(self.cameras, count, self.settings.seed)
        return [
            {**LightIdentity.derive(secret, number).public(), "x_m": at.x_m, "y_m": at.y_m}
            for number, at in enumerate(places, start=1)
        ]

    def _light_status(self) -> dict[str, int]:
        nothing = {"agents": 0, "connected": 0, "sightings": 0, "produced": 0, "acked": 0}
        try:
            status = json.loads(self._light_status_path.read_text(encoding="utf-8"))
        except OSError:
            return nothing
        return nothing | {key: int(value) for key, value in status.items()}
