"""Render a report as one HTML file that needs nothing else: no script, no font, no network."""

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from controller.report.model import ContactFacts, Report, TraceVisit

TEMPLATES: Final = Path(__file__).parent / "templates"
PLAN_W, PLAN_H, PLAN_EDGE = 860.0, 460.0, 34.0
LINE_W: Final = 860.0
RULE_MINUTES: Final = 15.0


def render_html(report: Report, pictures: Mapping[str, bytes]) -> str:
    """Return the page; `pictures` maps the evidence's `file` to its JPEG bytes."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["clock"] = lambda text: _moment(text).strftime("%H:%M:%S")
    environment.filters["day"] = lambda text: _moment(text).strftime("%Y-%m-%d")
    uris = {
        name: "data:image/jpeg;base64," + base64.b64encode(data).decode()
        for name, data in pictures.items()
    }
    return environment.get_template("report.html.j2").render(
        report=report,
        plan=_plan(report),
        timeline=_timeline(report),
        bars=[_bar(c) for c in report.contacts],
        uris=uris,
        plan_size=(PLAN_W, PLAN_H),
        line_width=LINE_W,
    )


def _plan(report: Report) -> dict[str, Any]:
    """Place the cameras in the drawing, and the trace as a line through them."""
    cameras = report.plan
    xs, ys = [c.x_m for c in cameras] or [0.0], [c.y_m for c in cameras] or [0.0]
    span = max(max(xs) - min(xs), (max(ys) - min(ys)) * PLAN_W / PLAN_H, 1.0)
    scale = (PLAN_W - 2 * PLAN_EDGE) / span
    places = {
        c.camera_id: (
            round(PLAN_EDGE + (c.x_m - min(xs)) * scale, 1),
            round(PLAN_H - PLAN_EDGE - (c.y_m - min(ys)) * scale, 1),
        )
        for c in cameras
    }
    route = [places[v.camera_id] for v in report.trace if v.camera_id in places]
    order: dict[str, list[int]] = {}
    for number, visit in enumerate(report.trace, start=1):
        order.setdefault(visit.camera_id, []).append(number)
    marks = [
        {"id": c.camera_id, "role": c.role, "x": places[c.camera_id][0],
         "y": places[c.camera_id][1],
         "label": ", ".join(str(n) for n in order.get(c.camera_id, []))}
        for c in sorted(cameras, key=lambda c: ("other", "asked", "trace").index(c.role))
    ]  # fmt: skip
    metres = 10 ** len(str(int(span / 4))) // 10 or 1
    return {"marks": marks, "route": route, "scale_m": metres, "scale_px": metres * scale}


def _timeline(report: Report) -> dict[str, Any]:
    """Place visits and episodes on one time axis."""
    visits: Sequence[TraceVisit] = report.trace
    if not visits:
        return {"rows": [], "ticks": []}
    first = min(_moment(v.start) for v in visits)
    last = max(_moment(v.end) for v in visits)
    total = max((last - first).total_seconds(), 1.0)

    def at(text: str) -> float:
        return round(110 + (LINE_W - 130) * (_moment(text) - first).total_seconds() / total, 1)

    rows = [
        {"name": "subject", "kind": "subject",
         "spans": [{"x": at(v.start), "w": max(at(v.end) - at(v.start), 2.0),
                    "label": v.camera_id} for v in visits]}
    ]  # fmt: skip
    for contact in report.contacts:
        spans = [{"x": at(e.start), "w": max(at(e.end) - at(e.start), 2.0), "label": ""}
                 for e in contact.episodes]  # fmt: skip
        rows.append({"name": contact.contact_id, "kind": contact.decision, "spans": spans})
    ticks = [
        {"x": round(110 + (LINE_W - 130) * k / 4, 1),
         "label": datetime.fromtimestamp(first.timestamp() + total * k / 4, first.tzinfo
                                         ).strftime("%H:%M")}
        for k in range(5)
    ]  # fmt: skip
    return {"rows": rows, "ticks": ticks}


def _bar(contact: ContactFacts) -> dict[str, float]:
    """Scale a contact's minutes to a bar of 100 units that ends at twice the rule."""
    top = max(2 * RULE_MINUTES, contact.minutes_interval[1] * 1.1)
    low, high = contact.minutes_interval
    return {
        "low": round(100 * low / top, 1),
        "width": round(max(100 * (high - low) / top, 0.8), 1),
        "mean": round(100 * contact.minutes / top, 1),
        "rule": round(100 * RULE_MINUTES / top, 1),
    }


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
