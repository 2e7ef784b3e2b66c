"""What the demo promises, each compared with the clips' ground truth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sim.demo.pictures import F32, embed, read_redacted
from sim.demo.truth import Span, Truth, iso_us
from sim.errors import SimError

Report = Mapping[str, Any]

TIME_TOLERANCE_S: Final = 5.0
MINUTES_TOLERANCE: Final = 0.5
MAX_QUERIED: Final = 6
RULE_MINUTES: Final = 15.0
LEAST_SOLID: Final = 0.95
MOST_SOLID_SUBJECT: Final = 0.4
LEAST_SIMILARITY: Final = 0.35
_REQUIRED: Final = {
    "": ("case", "trace", "contacts", "queries", "agents_total", "agents_queried", "evidence",
         "timings"),
    "trace": ("camera_id", "start", "end", "posterior", "similarity"),
    "contacts": ("contact_id", "minutes", "minutes_interval", "distance_m_median", "masks",
                 "decision"),
    "queries": ("agent_id", "kind", "reason"),
    "evidence": ("file", "camera_id"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Check:
    """One promise, whether it holds, and the figures behind that."""

    name: str
    holds: bool
    detail: str


def check_fields(report: Report) -> Check:
    """The report has every field that the contract with its readers names."""
    missing = [key for key in _REQUIRED[""] if key not in report]
    for section in ("trace", "contacts", "queries", "evidence"):
        for row in report.get(section, ()):
            missing += [f"{section}.{key}" for key in _REQUIRED[section] if key not in row]
    for row in report.get("contacts", ()):
        missing += [f"contacts.masks.{k}" for k in ("subject", "contact") if k not in row["masks"]]
    return Check("report fields", not missing, ", ".join(sorted(set(missing))) or "all there")


def check_trace(report: Report, truth: Truth) -> Check:
    """The trace names exactly the cameras and intervals where the subject was."""
    expected = truth.subject_visits
    visits = sorted(report["trace"], key=lambda visit: iso_us(visit["start"]))
    found = [visit["camera_id"] for visit in visits]
    wanted = [span.camera_id for span in expected]
    if found != wanted:
        return Check("trace", False, f"found {' '.join(found) or 'nothing'}, true {wanted}")
    worst_s = max(_off_s(visit, span) for visit, span in zip(visits, expected, strict=True))
    detail = f"{' → '.join(found)}, times right to {worst_s:.1f} s"
    return Check("trace", worst_s <= TIME_TOLERANCE_S, detail)


def check_contacts(report: Report, truth: Truth) -> list[Check]:
    """Each scripted companion is decided as the rule says, with the right minutes."""
    contacts = report["contacts"]
    checks = [_check_contact(person, contacts, truth) for person in sorted(truth.minutes)]
    named = {person: best_contact(person, contacts, truth) for person in truth.minutes}
    known = [row["contact_id"] for row in named.values() if row is not None]
    decided = [row for row in contacts if row["decision"] == "contact"]
    others = [row["contact_id"] for row in decided if row["contact_id"] not in known]
    detail = f"{len(decided)} decided as contact, {len(others)} of them nobody in the script"
    return [*checks, Check("nobody else is a contact", not others, detail)]


def check_masks(report: Report, truth: Truth) -> list[Check]:
    """Both mask states are right for each scripted episode."""
    checks = []
    for span in sorted(truth.episodes, key=lambda one: one.start_us):
        row = best_contact(span.person, report["contacts"], truth)
        episode = None if row is None else _episode_of(row, span)
        got = None if episode is None else _masks(episode)
        name = f"masks: {span.person} at {span.camera_id}"
        checks.append(Check(name, got == span.masks, f"found {got}, true {span.masks}"))
    return checks


def check_queries(report: Report, scripted: Sequence[str]) -> Check:
    """At most six agents were asked, and their number is what the report says."""
    asked = {query["agent_id"] for query in report["queries"]}
    honest = report["agents_queried"] == len(asked)
    detail = f"{len(asked)} of {report['agents_total']} agents asked: {' '.join(sorted(asked))}"
    outside = sorted(asked - set(scripted))
    if outside:
        detail += f" ({len(outside)} of them light)"
    return Check("queries", 0 < len(asked) <= MAX_QUERIED and honest, detail)


def check_evidence(
    report: Report, pictures: Mapping[str, bytes], truth: Truth, reference: F32
) -> list[Check]:
    """Every bystander is solidly filled in every picture, and the subject's face is there."""
    visited = {span.camera_id for span in truth.subject_visits}
    cameras = {row["camera_id"] for row in report["evidence"]}
    there = Check(
        "evidence: there is some", bool(cameras) and cameras <= visited,
        f"{len(report['evidence'])} pictures of {len(cameras)} of {len(visited)} cameras",
    )  # fmt: skip
    if not cameras:
        return [there]
    rows = [row for row in report["evidence"] if row["file"] in pictures]
    if len(rows) != len(report["evidence"]):
        return [there, Check("evidence: pictures", False, "a picture of the report is missing")]
    return [there, _bystanders(rows, pictures, truth), _subject(rows, pictures, truth, reference)]


def best_contact(
    person: str, contacts: Sequence[Mapping[str, Any]], truth: Truth
) -> Mapping[str, Any] | None:
    """Return the reported contact whose episodes overlap this person's most; `None` if none."""
    spans = [span for span in truth.episodes if span.person == person]
    scored = [(_common_s(row, spans), row) for row in contacts]
    best = max(scored, key=lambda pair: pair[0], default=None)
    return None if best is None or best[0] <= 0 else best[1]


def _check_contact(person: str, contacts: Sequence[Mapping[str, Any]], truth: Truth) -> Check:
    minutes = truth.minutes[person]
    wanted = "contact" if minutes >= RULE_MINUTES else "no_contact"
    row = best_contact(person, contacts, truth)
    name = f"{person}: {minutes:.1f} minutes is {wanted}"
    if row is None:
        return Check(name, wanted == "no_contact" and not contacts, "not among the contacts")
    low, high = row["minutes_interval"]
    detail = (
        f"{row['decision']}, {row['minutes']:.1f} min [{low:.1f}, {high:.1f}], "
        f"median {row['distance_m_median']:.2f} m"
    )
    close = abs(row["minutes"] - minutes) <= MINUTES_TOLERANCE
    return Check(name, row["decision"] == wanted and close, detail)


def _bystanders(
    rows: Sequence[Mapping[str, Any]], pictures: Mapping[str, bytes], truth: Truth
) -> Check:
    least, faces = 1.0, 0
    for row in rows:
        redacted = read_redacted(pictures[row["file"]])
        for face in truth.faces_at(row["camera_id"], iso_us(row["captured"])):
            if face.person != truth.subject:
                least = min(least, redacted.solid_share(face.bbox_xyxy))
                faces += 1
    detail = f"{faces} bystander faces in {len(rows)} pictures, least filled {least:.1%}"
    return Check("evidence: bystanders are filled", least >= LEAST_SOLID, detail)


def _subject(
    rows: Sequence[Mapping[str, Any]],
    pictures: Mapping[str, bytes],
    truth: Truth,
    reference: F32,
) -> Check:
    worst, wrong = 1.0, 0
    for row in rows:
        faces = truth.faces_at(row["camera_id"], iso_us(row["captured"]))
        own = [face for face in faces if face.person == truth.subject]
        redacted = read_redacted(pictures[row["file"]])
        if not own or redacted.solid_share(own[0].bbox_xyxy) > MOST_SOLID_SUBJECT:
            wrong += 1
            continue
        try:
            worst = min(worst, float(embed(pictures[row["file"]]) @ reference))
        except SimError:
            wrong += 1
    detail = f"{wrong} of {len(rows)} without the subject's face, least similarity {worst:.2f}"
    return Check("evidence: the subject is there", not wrong and worst >= LEAST_SIMILARITY, detail)


def _off_s(visit: Mapping[str, Any], span: Span) -> float:
    start_off = abs(iso_us(visit["start"]) - span.start_us)
    end_off = abs(iso_us(visit["end"]) - span.end_us)
    return max(start_off, end_off) / 1e6


def _common_s(row: Mapping[str, Any], spans: Sequence[Span]) -> float:
    return sum(_overlap_s(episode, span) for episode in row["episodes"] for span in spans)


def _overlap_s(episode: Mapping[str, Any], span: Span) -> float:
    if episode["camera_id"] != span.camera_id:
        return 0.0
    start = max(iso_us(episode["start"]), span.start_us)
    return max(0.0, (min(iso_us(episode["end"]), span.end_us) - start) / 1e6)


def _episode_of(row: Mapping[str, Any], span: Span) -> Mapping[str, Any] | None:
    best = max(row["episodes"], key=lambda one: _overlap_s(one, span), default=None)
    return best if best is not None and _overlap_s(best, span) > 0 else None


def _masks(episode: Mapping[str, Any]) -> tuple[str, str]:
    return str(episode["masks"]["subject"]), str(episode["masks"]["contact"])
