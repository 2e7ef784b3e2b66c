"""What a box answers and what it refuses, and why."""

import json
from pathlib import Path
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.identity import DeviceIdentity, create_identity
from agent.queries import Geometry, QueryDesk
from agent.store import SPOOLED, Store
from tests.unit.agent.test_store import tracklet
from wire import codec
from wire import messages as m
from wire.ids import uuid7
from wire.sealing import open_sealed, seal
from wire.signing import sign, verify

NOW = 1_800_000_000_000_000
CONTROLLER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
CASE_KEY = X25519PrivateKey.from_private_bytes(bytes(range(1, 33)))


class FixedClock:
    def now_us(self) -> int:
        return NOW


class NoEvidence:
    def make(self, subjects: object, secrets: object, camera_id: str) -> m.EvidenceBody:
        return m.EvidenceBody(camera_id=camera_id, items=())


class Desk:
    """A query desk with its store, and a way to ask it."""

    def __init__(self, folder: Path) -> None:
        self.identity: DeviceIdentity = create_identity(folder, agent_id="box-1", camera_id="cam-1")
        self.store = Store(folder / "s.sqlite", self.identity.store_key)
        self.audit = folder / "audit.jsonl"
        self.desk = QueryDesk(
            identity=self.identity, controller=CONTROLLER.public_key(), store=self.store,
            clock=FixedClock(), geometry=Geometry(3.2, 1.55, 0.12), space_id="space",
            evidence=NoEvidence(), audit_file=self.audit,
        )  # fmt: skip

    def query(self, secrets: m.QuerySecrets | None = None, **changes: object) -> m.Query:
        query_id = uuid7(unix_ms=5)
        inside = codec.encode(secrets or m.QuerySecrets(space_id="space"))
        sealed = seal(
            inside, self.identity.sealing.public_key().public_bytes_raw(),
            associated=query_id.bytes,
        )  # fmt: skip
        fields = {
            "query_id": query_id, "case_id": UUID(int=9), "agent_id": "box-1",
            "kind": m.QueryKind.LOOKBACK, "purpose": "test", "issued_us": NOW,
            "expires_us": NOW + 1_000_000, "nonce": query_id.bytes,
            "scope": m.Scope(camera_id="cam-1", start_us=0, end_us=10_000_000),
            "reply_key": CASE_KEY.public_key().public_bytes_raw(), "sealed": sealed,
        }  # fmt: skip
        return m.Query(**(fields | changes))

    def ask(self, query: m.Query, key: Ed25519PrivateKey = CONTROLLER) -> list[m.Reply]:
        before = len(self.store.pending("replies", 0, 1000))
        self.desk.handle(sign(query, key))
        entries = self.store.pending("replies", 0, 1000)[before:]
        signer = self.identity.signing.public_key()
        return [verify(m.Reply, e.payload, signer) for e in entries]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def lookback(reply: m.Reply) -> m.LookbackBody:
    opened = open_sealed(reply.body, CASE_KEY, associated=reply.query_id.bytes)
    return codec.decode(m.LookbackBody, opened)


def test_a_lookback_reveals_the_subject_and_who_was_near_in_time(desk: Desk) -> None:
    subject, near, later = tracklet(1, 1_000_000), tracklet(2, 2_000_000), tracklet(3, 9_000_000)
    far = tracklet(4, 200_000_000)
    for one in (subject, near, later, far):
        desk.store.add_tracklet(one, SPOOLED)
    secrets = m.QuerySecrets(space_id="space", sighting_ids=(subject.id,))
    (reply,) = desk.ask(desk.query(secrets))
    found = {t.tracklet_id: t.is_subject for t in lookback(reply).tracklets}
    assert found == {subject.id: True, near.id: False, later.id: False}


def test_a_probe_of_the_same_day_and_shard_finds_the_subject(desk: Desk) -> None:
    one = tracklet(1)
    desk.store.add_tracklet(one, SPOOLED)
    template = one.template or b""
    hit = m.Probe(epoch=0, shard=1, template=template, min_similarity=0.5)
    elsewhere = m.Probe(epoch=0, shard=2, template=template, min_similarity=0.5)
    (found,) = desk.ask(desk.query(m.QuerySecrets(space_id="space", probes=(hit,))))
    assert [t.is_subject for t in lookback(found).tracklets] == [True]
    (none,) = desk.ask(desk.query(m.QuerySecrets(space_id="space", probes=(elsewhere,))))
    assert lookback(none).tracklets == ()


def test_without_the_subject_nothing_is_revealed(desk: Desk) -> None:
    desk.store.add_tracklet(tracklet(1), SPOOLED)
    (reply,) = desk.ask(desk.query())
    assert reply.status is m.ReplyStatus.OK
    assert lookback(reply).tracklets == ()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"agent_id": "box-2"}, "agent"),
        ({"expires_us": NOW - 1, "issued_us": NOW - 2}, "expired"),
        ({"expires_us": NOW + 30 * 86_400_000_000}, "expired"),
        ({"issued_us": NOW + 3_600_000_000, "expires_us": NOW + 3_700_000_000}, "clock_offset"),
        ({"scope": m.Scope(camera_id="cam-2", start_us=0, end_us=1)}, "scope"),
        ({"kind": m.QueryKind.UNKNOWN}, "unsupported_kind"),
        ({"sealed": b"x" * 60}, "sealed"),
    ],
)
def test_a_query_that_may_not_be_answered_is_refused_by_name(
    desk: Desk, changes: dict[str, object], reason: str
) -> None:
    (reply,) = desk.ask(desk.query(**changes))
    assert reply.status is m.ReplyStatus.REFUSED
    assert reply.reason.startswith(reason)
    assert reply.body == b""
    assert json.loads(desk.audit.read_text().splitlines()[-1])["decision"] == "refused"


def test_probes_of_another_model_are_refused(desk: Desk) -> None:
    (reply,) = desk.ask(desk.query(m.QuerySecrets(space_id="other")))
    assert reply.reason.startswith("space")


def test_a_query_is_answered_once(desk: Desk) -> None:
    query = desk.query()
    assert desk.ask(query)[0].status is m.ReplyStatus.OK
    assert desk.ask(query)[0].reason.startswith("replay")


def test_a_wrong_signature_gets_no_answer_but_an_audit_line(desk: Desk) -> None:
    assert desk.ask(desk.query(), Ed25519PrivateKey.generate()) == []
    assert "signature" in desk.audit.read_text()


def test_a_long_answer_comes_in_parts_that_lose_nothing(desk: Desk) -> None:
    for number in range(1, 301):
        desk.store.add_tracklet(tracklet(number), SPOOLED)
    subject = desk.store.overlapping(0, 2_000_000)[0]
    replies = desk.ask(desk.query(m.QuerySecrets(space_id="space", sighting_ids=(subject.id,))))
    assert [r.part for r in replies] == list(range(1, len(replies) + 1))
    assert {r.parts_total for r in replies} == {len(replies)}
    assert len(replies) > 1
    assert sum(len(lookback(r).tracklets) for r in replies) == 300
