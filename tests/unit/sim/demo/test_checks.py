"""The demo's checks: they pass on a true report and fail on each kind of wrong one."""

import copy
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from sim.demo import checks
from sim.demo.city import light_places
from sim.demo.pictures import read_redacted
from sim.demo.truth import Truth
from sim.errors import SimError

T0 = datetime(2026, 11, 20, 9, tzinfo=UTC)


def at(minutes: float) -> str:
    return (T0 + timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")


def span(person: str, camera: str, start: float, end: float, **more: Any) -> dict[str, Any]:
    return {
        "person": person, "camera_id": camera, "start_utc": at(start), "end_utc": at(end), **more
    }  # fmt: skip


UNMASKED_MASKED = {"subject": "unmasked", "contact": "masked"}
BOTH_UNMASKED = {"subject": "unmasked", "contact": "unmasked"}
TRUTH = {
    "subject": "obama",
    "reference_photo": "reference.jpg",
    "cameras": [
        {
            "camera_id": f"cam-0{n}", "clip": f"cam-0{n}.mp4", "start_utc": at(0), "frames": 60,
            "x_m": 100.0 * n, "y_m": 0.0, "calibration": {},
        }
        for n in (1, 2, 3)
    ],
    "presence": [
        span("obama", "cam-01", 0, 10), span("obama", "cam-02", 13, 20),
        span("obama", "cam-03", 25, 39.5), span("biden", "cam-01", 0.5, 9.5),
    ],
    "episodes": [
        span("biden", "cam-01", 0.5, 9.5, masks=UNMASKED_MASKED),
        span("biden", "cam-02", 13, 20, masks=UNMASKED_MASKED),
        span("astronaut", "cam-03", 25.25, 39.25, masks=BOTH_UNMASKED),
    ],
    "contacts": {"biden": {"minutes": 16.0}, "astronaut": {"minutes": 14.0}},
}  # fmt: skip


def episode(camera: str, start: float, end: float, masks: dict[str, str]) -> dict[str, Any]:
    return {"camera_id": camera, "start": at(start), "end": at(end), "masks": masks}


def contact(name: str, minutes: float, decision: str, *episodes: dict[str, Any]) -> dict[str, Any]:
    return {
        "contact_id": name, "minutes": minutes, "minutes_interval": [minutes - 0.3, minutes + 0.3],
        "distance_m_median": 1.1, "masks": episodes[0]["masks"], "decision": decision,
        "episodes": list(episodes),
    }  # fmt: skip


def visit(camera: str, start: float, end: float) -> dict[str, Any]:
    return {
        "camera_id": camera, "start": at(start), "end": at(end), "posterior": 0.9,
        "similarity": 0.7,
    }  # fmt: skip


REPORT: dict[str, Any] = {
    "case": {},
    "trace": [visit("cam-01", 0, 10), visit("cam-02", 13, 20), visit("cam-03", 25, 39.5)],
    "contacts": [
        contact(
            "c1", 16.1, "contact",
            episode("cam-01", 0.5, 9.5, UNMASKED_MASKED),
            episode("cam-02", 13, 20, UNMASKED_MASKED),
        ),
        contact("c2", 13.9, "no_contact", episode("cam-03", 25.25, 39.25, BOTH_UNMASKED)),
    ],
    "queries": [{"agent_id": "box-1", "kind": "lookback", "reason": "visit"}],
    "agents_total": 506,
    "agents_queried": 1,
    "evidence": [{"file": "a.jpg", "camera_id": "cam-01", "captured": at(1)}],
    "timings": {},
}  # fmt: skip


@pytest.fixture
def truth(tmp_path: Path) -> Truth:
    (tmp_path / "truth.json").write_text(json.dumps(TRUTH))
    boxes = {"obama": [100, 100, 160, 160], "biden": [300, 100, 360, 160]}
    with (tmp_path / "cam-01.frames.jsonl").open("w") as lines:
        for second in range(120):
            faces = [
                {"person": who, "bbox_xyxy": box, "xy_m": [0, 5], "masked": False}
                for who, box in boxes.items()
            ]
            lines.write(json.dumps({"t_s": second, "faces": faces}) + "\n")
    return Truth.read(tmp_path)


def failing(report: dict[str, Any], truth: Truth) -> set[str]:
    rows = [
        checks.check_fields(report),
        checks.check_trace(report, truth),
        *checks.check_contacts(report, truth),
        *checks.check_masks(report, truth),
        checks.check_queries(report, ["box-1"]),
    ]
    return {row.name for row in rows if not row.holds}


def test_a_true_report_passes_everything(truth: Truth) -> None:
    assert failing(REPORT, truth) == set()


def test_a_missing_field_is_named(truth: Truth) -> None:
    report = copy.deepcopy(REPORT)
    del report["trace"][0]["posterior"], report["timings"]
    check = checks.check_fields(report)
    assert (check.holds, check.detail) == (False, "timings, trace.posterior")


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda r: r["trace"].pop(), "trace"),
        (lambda r: r["trace"].append(visit("cam-01", 50, 51)), "trace"),
        (lambda r: r["trace"][1].update(start=at(13.2)), "trace"),
        (lambda r: r["contacts"][0].update(decision="undecided"), "biden: 16.0 minutes is contact"),
        (lambda r: r["contacts"][0].update(minutes=15.2), "biden: 16.0 minutes is contact"),
        (lambda r: r["contacts"].pop(0), "biden: 16.0 minutes is contact"),
        (
            lambda r: r["contacts"][1].update(decision="contact"),
            "astronaut: 14.0 minutes is no_contact",
        ),
        (
            lambda r: r["contacts"].append(
                contact("c3", 20, "contact", episode("cam-02", 50, 70, BOTH_UNMASKED))
            ),
            "nobody else is a contact",
        ),
        (
            lambda r: r["contacts"][0]["episodes"][1].update(masks=BOTH_UNMASKED),
            "masks: biden at cam-02",
        ),
        (lambda r: r.update(agents_queried=3), "queries"),
        (
            lambda r: r.update(
                agents_queried=7,
                queries=[{"agent_id": f"a{n}", "kind": "lookback", "reason": ""} for n in range(7)],
            ),
            "queries",
        ),
    ],
)
def test_each_wrong_report_fails_by_name(truth: Truth, change: Any, name: str) -> None:
    report = copy.deepcopy(REPORT)
    change(report)
    assert name in failing(report, truth)


def picture(*, uncovered: tuple[int, int, int, int] | None = None) -> bytes:
    rng = np.random.default_rng(0)
    image = np.full((400, 600, 3), 40, np.uint8)
    image[95:165, 95:165] = rng.integers(0, 255, (70, 70, 3))
    if uncovered is not None:
        x0, y0, x1, y1 = uncovered
        image[y0:y1, x0:x1] = rng.integers(0, 255, (y1 - y0, x1 - x0, 3))
    return cv2.imencode(".jpg", image)[1].tobytes()


def test_solid_share_counts_filled_pixels() -> None:
    redacted = read_redacted(picture(uncovered=(300, 100, 330, 160)))
    assert redacted.solid_share((400, 100, 460, 160)) == 1.0
    assert redacted.solid_share((300, 100, 360, 160)) == pytest.approx(0.5, abs=0.1)
    assert redacted.solid_share((100, 100, 160, 160)) < 0.2


def test_a_bystander_shining_through_fails_the_picture(truth: Truth) -> None:
    rows = REPORT["evidence"]
    good = checks._bystanders(rows, {"a.jpg": picture()}, truth)
    bad = checks._bystanders(rows, {"a.jpg": picture(uncovered=(300, 100, 310, 160))}, truth)
    assert (good.holds, bad.holds) == (True, False)


def test_something_that_is_no_picture_is_an_error() -> None:
    with pytest.raises(SimError, match="evidence"):
        read_redacted(b"not a jpeg")


def test_light_cameras_stand_clear_of_the_scripted_ones(truth: Truth) -> None:
    places = light_places(truth.cameras, 500, seed=7)
    assert len(set(places)) == 500
    own = np.array([[c.x_m, c.y_m] for c in truth.cameras])
    light = np.array([[p.x_m, p.y_m] for p in places])
    assert np.linalg.norm(light[:, None] - own[None], axis=2).min() >= 60.0
    assert places == light_places(truth.cameras, 500, seed=7)
