"""The whole demo once, with an eavesdropper on its broker; then every promise is looked up."""

import base64
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from rich.console import Console

from controller.adapters.gallery import Gallery
from controller.adapters.records.cases import SqlCases
from controller.adapters.records.engine import Database
from controller.adapters.vault import Vault, open_vault
from controller.config import load_config
from sim.demo.pictures import embed_file
from sim.demo.run import Demo, DemoSettings, Observer
from sim.demo.screen import Screen
from sim.demo.town import Town
from sim.light.identity import LightIdentity, read_fleet_secret
from tests.integration import traffic
from tests.simulation.towns import ids_made
from wire import messages as m
from wire.codec import decode
from wire.sealing import open_sealed
from wire.signing import verify

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CACHE = Path(__file__).parents[2] / "build"
MODELS: dict[str, type[m.WireModel]] = {
    "sightings": m.SightingBatch, "state": m.AgentState, "health": m.Health,
    "replies": m.Reply, "queries": m.Query, "acks": m.Ack, "keys": m.KeyDelivery,
}  # fmt: skip


@dataclass
class Witness(Observer):
    """Listens from the first message on, and takes the case's keys before it is closed."""

    ear: traffic.Eavesdropper = field(default_factory=traffic.Eavesdropper)
    town: Town | None = None
    report: dict[str, Any] = field(default_factory=dict)
    reply_key: X25519PrivateKey | None = None
    secrets: dict[str, bytes] = field(default_factory=dict)
    signing_keys: dict[str, bytes] = field(default_factory=dict)

    def broker_ready(self, town: Town) -> None:
        self.town = town
        self.ear.start(town.broker.host, town.broker.port)

    def case_ready(self, town: Town, case_id: str, report: dict[str, Any]) -> None:
        self.report = report
        config = load_config(town.office.data_dir / "controller.toml")
        vault, database = open_vault(config.keys_dir), Database(config.records_dsn)
        case = SqlCases(database).case(UUID(case_id))
        database.close()
        assert case is not None
        key = vault.unwrap(case.wrapped_key, label=f"case_key|{case.case_id.hex}")
        raw = Vault.open(key, case.reply_private_sealed, label=f"reply_key|{case.case_id.hex}")
        self.reply_key = X25519PrivateKey.from_private_bytes(raw)
        self.secrets |= {"case key": key, "reply key": raw}

    def finished(self, town: Town) -> None:
        self.ear.stop()
        keys_dir = town.office.data_dir / "keys"
        self.secrets |= {path.name: path.read_bytes() for path in keys_dir.glob("*.key")}
        secret = read_fleet_secret(town.settings.directory / "light.secret")
        for number in range(1, town.settings.light_agents + 1):
            one = LightIdentity.derive(secret, number)
            self.signing_keys[one.agent_id] = one.signing.public_key().public_bytes_raw()
        for box in town.boxes:
            raw = json.loads((box.data_dir / "device.key").read_text())
            for name in ("signing", "sealing", "store_key", "id_key"):
                self.secrets[f"{box.agent_id} {name}"] = base64.b64decode(raw[name])
            public = json.loads((box.data_dir / "identity.json").read_text())
            self.signing_keys[box.agent_id] = base64.b64decode(public["signing_public_b64"])


@dataclass(frozen=True)
class Finished:
    """A demo that has run to its end."""

    demo: Demo
    witness: Witness
    out: Path
    screen: str
    seconds: float

    @property
    def town(self) -> Town:
        assert self.witness.town is not None
        return self.witness.town


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    out = tmp_path_factory.mktemp("demo")
    text, witness = io.StringIO(), Witness()
    settings = DemoSettings(out=out, cache=CACHE, close=True, keep=True)
    demo = Demo(settings, Screen(Console(file=text, width=160)), witness)
    started_s = time.monotonic()
    demo.run()
    return Finished(demo, witness, out, text.getvalue(), time.monotonic() - started_s)


def test_every_check_that_the_demo_prints_holds(finished: Finished) -> None:
    failed = [f"{one.name}: {one.detail}" for one in finished.demo.results if not one.holds]
    assert failed == []
    assert len(finished.demo.results) >= 15


def test_the_report_counts_and_times_what_was_done(finished: Finished) -> None:
    report = finished.witness.report
    assert report["agents_total"] == 506
    assert 3 <= report["agents_queried"] <= 6
    assert all(query["reason"] for query in report["queries"])
    assert all(0.0 <= visit["posterior"] <= 1.0 for visit in report["trace"])
    assert {"match", "trace", "lookback", "contacts", "evidence"} <= report["timings"].keys()


def test_the_html_report_is_one_self_contained_file(finished: Finished) -> None:
    html = (finished.out / "report.html").read_text(encoding="utf-8")
    for visit in finished.witness.report["trace"]:
        assert visit["camera_id"] in html
    assert html.count("data:image/jpeg;base64,") == len(finished.witness.report["evidence"])
    assert "<svg" in html
    fetched = re.findall(r"""(?:src|href)\s*=\s*["'](?!data:|#)([^"']+)""", html)
    assert fetched == []


def test_every_payload_on_mqtt_keeps_to_the_field_list(finished: Finished) -> None:
    heard = finished.witness.ear.heard
    kinds = Counter(one.kind for one in heard)
    assert kinds.keys() == MODELS.keys()
    assert kinds["sightings"] >= 506
    faults = {fault for one in heard for fault in traffic.faults_of_message(one)}
    assert faults == set()


def test_every_payload_is_signed_by_whom_its_topic_says(finished: Finished) -> None:
    controller = base64.b64decode(finished.town.office.signing_public_b64)
    for one in finished.witness.ear.heard:
        from_agent = one.kind in ("sightings", "state", "health", "replies")
        raw = finished.witness.signing_keys[one.agent_id] if from_agent else controller
        message = verify(MODELS[one.kind], one.payload, Ed25519PublicKey.from_public_bytes(raw))
        assert getattr(message, "agent_id") == one.agent_id  # noqa: B009 - any of the models


def test_sealed_replies_hold_paths_and_hashes_but_no_picture(finished: Finished) -> None:
    key = finished.witness.reply_key
    assert key is not None
    paths, hashes = 0, 0
    for reply in replies(finished.witness):
        plain = open_sealed(reply.body, key, associated=reply.query_id.bytes)
        evidence = kind_of(finished.witness, reply.query_id) is m.QueryKind.EVIDENCE
        table = traffic.EVIDENCE if evidence else traffic.LOOKBACK
        assert traffic.faults_of_body(plain, table, "reply") == []
        if evidence:
            hashes += len(decode(m.EvidenceBody, plain).items)
        else:
            paths += sum(len(t.path) > 0 for t in decode(m.LookbackBody, plain).tracklets)
    assert paths >= 6
    assert hashes == len(finished.witness.report["evidence"])


def test_only_the_agents_in_the_report_heard_of_the_case(finished: Finished) -> None:
    asked = {one.agent_id for one in finished.witness.ear.of("queries")}
    assert asked == {query["agent_id"] for query in finished.witness.report["queries"]}


def test_the_gallery_holds_what_the_agents_made_exactly_once(finished: Finished) -> None:
    made = ids_made(finished.town)
    config = load_config(finished.town.office.data_dir / "controller.toml")
    gallery = Gallery.open(config.gallery_dsn)
    try:
        assert gallery.ids() == made
        assert gallery.count() == len(made)
    finally:
        gallery.close()
    on_the_wire = {
        sighting.id
        for one in finished.witness.ear.of("sightings")
        for sighting in decode(m.SightingBatch, decode(m.Envelope, one.payload).payload).sightings
    }
    assert on_the_wire == made


def test_after_closing_no_picture_is_left_at_the_controller(finished: Finished) -> None:
    data_dir = finished.town.office.data_dir
    assert [path for path in (data_dir / "evidence").rglob("*") if path.is_file()] == []
    pictures = [path.read_bytes()[20:84] for path in (finished.out / "evidence").glob("*.jpg")]
    pictures.append(finished.demo.reference_photo.read_bytes()[20:84])
    for path in data_dir.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not any(picture in content for picture in pictures)


def test_logs_hold_no_key_no_embedding_and_no_picture(finished: Finished) -> None:
    secrets = finished.witness.secrets
    embedding = embed_file(finished.demo.reference_photo).tobytes()
    secrets |= {"embedding": embedding[:48]}
    assert len(secrets) > 20
    logs = {path.name: path.read_text(errors="replace") for path in log_files(finished)}
    assert len(logs) >= 9
    for name, text in logs.items():
        leaks = [which for which, raw in secrets.items() if any(f in text for f in forms(raw))]
        assert leaks == [], name
        assert suspects(text) == [], name


def test_nothing_of_the_demo_still_runs(finished: Finished) -> None:
    assert processes_naming(str(finished.out)) == []
    for port in (finished.town.broker.port, finished.town.office.port):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_it_shows_its_steps_and_ends_within_five_minutes(finished: Finished) -> None:
    for words in ("clips", "broker and controller", "investigation", "the case is closed"):
        assert words in finished.screen
    # Making the clips is not part of a warm run.
    warm_s = sum(seconds for title, seconds in finished.demo.timings_s.items()
                 if not title.startswith("clips"))  # fmt: skip
    assert warm_s < 300.0


def test_ctrl_c_stops_everything_that_the_demo_started(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    command = [sys.executable, "-m", "sim.demo", "--out", str(out), "--light-agents", "20"]
    (tmp_path / "clips").symlink_to(CACHE / "clips")
    (tmp_path / "photos").symlink_to(CACHE / "photos")
    demo = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    deadline_s = time.monotonic() + 120.0
    while len(list((out / "logs").glob("box-*.log"))) < 6 and time.monotonic() < deadline_s:
        time.sleep(0.2)
    assert len(processes_naming(str(out))) >= 8
    os.kill(demo.pid, signal.SIGINT)
    _, errors = demo.communicate(timeout=60)
    assert demo.returncode == 130
    assert errors.decode().strip().splitlines()[-1].startswith("demo: stopped")
    assert b"Traceback" not in errors
    assert processes_naming(str(out)) == []


def replies(witness: Witness) -> list[m.Reply]:
    """Return each part of each reply once, as decoded from the wire."""
    found = [
        decode(m.Reply, decode(m.Envelope, one.payload).payload)
        for one in witness.ear.of("replies")
    ]
    return list({(reply.query_id, reply.part): reply for reply in found}.values())


def kind_of(witness: Witness, query_id: UUID) -> m.QueryKind:
    """Return what kind of query a reply answers."""
    for one in witness.ear.of("queries"):
        query = decode(m.Query, decode(m.Envelope, one.payload).payload)
        if query.query_id == query_id:
            return query.kind
    raise AssertionError(f"a reply to a query that was never sent: {query_id}")


def log_files(finished: Finished) -> list[Path]:
    """Return the logs of all processes, the broker's and the boxes' audits among them."""
    audits = finished.town.settings.directory.rglob("audit.jsonl")
    return [*(finished.out / "logs").glob("*.log"), finished.town.broker.log_path, *audits]


def forms(raw: bytes) -> tuple[str, ...]:
    """Return how bytes may look in a log: hex, base64 (two alphabets), Python's repr."""
    trimmed = raw[: len(raw) // 3 * 3]
    plain = base64.b64encode(trimmed).decode()
    return raw.hex(), plain, plain.replace("+", "-").replace("/", "_"), repr(raw)[2:-1]


def suspects(text: str) -> list[str]:
    """Return what looks like binary data or a vector: long base64 or hex, escapes, many floats."""
    patterns = (
        r"[A-Za-z0-9+/_-]{60,}={0,2}",
        r"(?:\\x[0-9a-f]{2}){8,}",
        r"(?:-?\d\.\d{3,}[,\s]+){8,}",
    )
    found = [hit for pattern in patterns for hit in re.findall(pattern, text)]
    return [hit for hit in found if "/" not in hit or not Path("/" + hit.lstrip("/")).exists()]


def processes_naming(text: str) -> list[int]:
    """Return the processes (other than this one) whose command line holds a text."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in command and int(path.parent.name) != os.getpid():
            found.append(int(path.parent.name))
    return found
