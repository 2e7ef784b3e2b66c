"""The demo from the first photograph to the closed case, step by step."""

import json
import shutil
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from sim.broker import BrokerSettings, find_mosquitto
from sim.clips import make_clips
from sim.demo import checks
from sim.demo.checks import Check
from sim.demo.office import Desk, Person
from sim.demo.pictures import embed_file
from sim.demo.remains import Holdings, files_holding, holdings
from sim.demo.screen import Screen
from sim.demo.town import Town, TownSettings
from sim.demo.truth import Truth
from sim.errors import SimError
from sim.photos import fetch_photos

_AGENTS_TIMEOUT_S: Final = 420.0
_CASE_TIMEOUT_S: Final = 180.0
_POLL_S: Final = 0.5
_READY: Final = "ready"


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """`out`: where the report goes; `keep` leaves keys, records and gallery in `out`/work."""

    out: Path
    cache: Path
    seed: int = 7
    light_agents: int = 500
    close: bool = False
    keep: bool = False


class Observer:
    """Looks on at the points that a test cares about; this one does nothing."""

    def broker_ready(self, town: Town) -> None:
        """The broker runs; nobody has spoken yet."""

    def case_ready(self, town: Town, case_id: str, report: dict[str, Any]) -> None:
        """The report is written; the case is still open."""

    def finished(self, town: Town) -> None:
        """Everything has run; the processes are about to be stopped."""


class Demo:
    """One run of the demo; `run` returns whether every check held."""

    def __init__(
        self, settings: DemoSettings, screen: Screen, observer: Observer | None = None
    ) -> None:
        self.results: Final[list[Check]] = []
        self._settings = settings
        self._screen = screen
        self._observer = observer or Observer()
        self._investigator = Person.invent("ivy", "investigator")
        self._approver = Person.invent("noor", "approver")
        self._technician = Person.invent("tom", "technician")

    @property
    def work(self) -> Path:
        """Keys, records, gallery and stores of this run."""
        return self._settings.out / "work"

    @property
    def reference_photo(self) -> Path:
        """The photograph that the case is opened with."""
        return self._clips_dir / "reference.jpg"

    @property
    def timings_s(self) -> dict[str, float]:
        """How long each finished step took."""
        return dict(self._screen.timings_s)

    def run(self) -> bool:
        """Do everything; every process is stopped at the end, also on Ctrl-C or an error."""
        find_mosquitto()
        truth = self._clips()
        self._clear()
        town = Town(truth.cameras, self._town_settings())
        try:
            self._build(town)
            self._observe(town)
            self._solve(town, truth)
            self._observer.finished(town)
        finally:
            town.stop()
            if not self._settings.keep:
                shutil.rmtree(self.work, ignore_errors=True)
        return all(check.holds for check in self.results)

    @property
    def _clips_dir(self) -> Path:
        return self._settings.cache / "clips" / f"{_scene_day()}-{self._settings.seed}"

    def _clips(self) -> Truth:
        with self._screen.step("clips from public-domain photographs, with their ground truth"):
            photos = self._settings.cache / "photos"
            fetch_photos(photos)
            out = self._clips_dir
            with self._screen.bar("frames") as bar:
                make_clips(
                    self._settings.seed, _scene_day(), photos, out, lambda n, of: bar.show(n, of)
                )
            return Truth.read(out)

    def _clear(self) -> None:
        shutil.rmtree(self.work, ignore_errors=True)
        for old in ("logs", "evidence"):
            shutil.rmtree(self._settings.out / old, ignore_errors=True)
        self.work.mkdir(parents=True)

    def _town_settings(self) -> TownSettings:
        return TownSettings(
            directory=self.work,
            log_dir=self._settings.out / "logs",
            day=_scene_day(),
            seed=self._settings.seed,
            light_agents=self._settings.light_agents,
            broker=BrokerSettings(max_queued_messages=20_000, max_inflight_messages=200),
        )

    def _build(self, town: Town) -> None:
        with self._screen.step("broker and controller"):
            town.broker.start()
            self._observer.broker_ready(town)
            town.office.initialise(town.broker.port)
            for person in (self._investigator, self._approver, self._technician):
                town.office.add_person(person)
            town.office.start()
            self._screen.say(f"Mosquitto on port {town.broker.port}, controller {town.office.url}")
        with self._screen.step(f"{len(town.cameras)} camera boxes and light agents"):
            rows = town.prepare_agents()
            town.office.log_in(self._technician).register(rows)
            town.start_watch()
            town.start_light()
            town.start_boxes()
            self._screen.say(f"{len(rows)} agents registered")

    def _observe(self, town: Town) -> None:
        with self._screen.step("cameras watch, agents publish protected templates only"):
            with self._screen.bar("frames") as bar:
                end = town.wait_until_done(
                    _AGENTS_TIMEOUT_S,
                    lambda p: bar.show(p.frames, p.frames_total, f"{p.sightings} sightings"),
                )
            self._screen.say(f"{end.sightings} sightings, every one acknowledged as durable")

    def _solve(self, town: Town, truth: Truth) -> None:
        ivy, noor = town.office.log_in(self._investigator), town.office.log_in(self._approver)
        with self._screen.step("one case: opened by ivy from one photograph, approved by noor"):
            case_id = ivy.open_case(truth.reference_photo, _case_fields())
            noor.approve(case_id)
        with self._screen.step("investigation: match, trace, route, ask, assess, collect"):
            self._investigate(ivy, case_id)
        report = self._write_report(ivy, case_id)
        self._check(report, truth, town)
        self._observer.case_ready(town, case_id, report)
        if self._settings.close:
            self._close(ivy, town, case_id)

    def _investigate(self, desk: Desk, case_id: str) -> None:
        desk.investigate(case_id)
        deadline_s = time.monotonic() + _CASE_TIMEOUT_S
        said = ""
        while (case := desk.case(case_id))["state"] != _READY:
            step = str(case.get("progress", ""))
            if step != said:
                self._screen.say(step)
                said = step
            if case.get("error"):
                raise SimError(f"investigation: {case['error']}")
            if time.monotonic() > deadline_s:
                raise SimError(f"investigation: not ready in {_CASE_TIMEOUT_S:.0f} s; last: {step}")
            time.sleep(_POLL_S)

    def _write_report(self, desk: Desk, case_id: str) -> dict[str, Any]:
        out = self._settings.out
        for name in ("report.html", "report.json"):
            (out / name).write_bytes(desk.case_file(case_id, name))
        report: dict[str, Any] = json.loads((out / "report.json").read_text(encoding="utf-8"))
        for row in report["evidence"]:
            target = out / row["file"]
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(desk.case_file(case_id, row["file"]))
        self._screen.say(f"{out / 'report.html'}, {out / 'report.json'}")
        return report

    def _check(self, report: dict[str, Any], truth: Truth, town: Town) -> None:
        with self._screen.step("the report against the script of the clips"):
            reference = embed_file(truth.reference_photo)
            out = self._settings.out
            pictures = {row["file"]: (out / row["file"]).read_bytes() for row in report["evidence"]}
            found = [
                checks.check_fields(report),
                checks.check_trace(report, truth),
                *checks.check_contacts(report, truth),
                *checks.check_masks(report, truth),
                checks.check_queries(report, [box.agent_id for box in town.boxes]),
                *checks.check_evidence(report, pictures, truth, reference),
            ]
            self._screen.checks(found)
        self.results.extend(found)

    def _close(self, desk: Desk, town: Town, case_id: str) -> None:
        records = town.office.data_dir / "records.sqlite"
        with self._screen.step("the case is closed"):
            before = holdings(records, case_id)
            desk.close_case(case_id)
            found = _check_gone(desk, town, case_id, before)
            self._screen.checks(found)
        self.results.extend(found)


def _check_gone(desk: Desk, town: Town, case_id: str, before: Holdings) -> list[Check]:
    after = holdings(town.office.data_dir / "records.sqlite", case_id)
    left = files_holding(town.office.data_dir, before.secrets)
    status = desk.status_of(f"/v1/cases/{case_id}/report.json")
    return [
        Check("the report is gone", status in (404, 409, 410), f"the API answers {status}"),
        Check(
            "its rows are gone", sum(after.rows.values()) < sum(before.rows.values()),
            f"before {before.rows}, after {after.rows}",
        ),
        Check(
            "its keys and pictures are wiped", bool(before.secrets) and not left,
            f"{len(before.secrets)} stored values searched for, found in {len(left)} files",
        ),
    ]  # fmt: skip


def _scene_day() -> date:
    return (datetime.now(UTC) - timedelta(days=1)).date()


def _case_fields() -> dict[str, str]:
    day, now = _scene_day(), datetime.now(UTC)
    return {
        "label": "demo-1",
        "legal_basis": "public-health-order",
        "onset_date": now.date().isoformat(),
        "scope_start": f"{day}T00:00:00Z",
        "scope_end": f"{day}T23:59:59Z",
        "expires_at": (now + timedelta(hours=12)).isoformat().replace("+00:00", "Z"),
    }
