"""The upload address: one token per query, JPEG only, bounded, accepted by signed reply."""

import hashlib
from uuid import UUID

import httpx
import pytest

from tests.integration.controller.world import World, error_of
from wire import messages as m
from wire.ids import uuid7

JPEG = b"\xff\xd8\xff\xe0 picture \xff\xd9"
BASE = "http://127.0.0.1:8470"


class Upload:
    """One approved case with one evidence query's permission for two pictures."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.case_id = UUID(world.approved_case())
        self.query_id = uuid7(unix_ms=1)
        self.url = world.controller.evidence.grant(
            self.case_id, self.query_id, "cam-1",
            expires_us=world.clock.now_us() + 60_000_000, max_pictures=2,
        )  # fmt: skip

    def put(
        self, picture: bytes = JPEG, *, evidence_id: UUID | None = None,
        token: str | None = None, kind: str = "image/jpeg",
    ) -> httpx.Response:  # fmt: skip
        path = self.url.removeprefix(BASE)
        if token is not None:
            path = f"/v1/evidence/{token}"
        return self.world.http.put(
            f"{path}/{evidence_id or uuid7(unix_ms=2)}",
            content=picture,
            headers={"Content-Type": kind},
        )

    def stored(self) -> int:
        return len(list((self.world.config.data_dir / "evidence").rglob("*.bin")))


@pytest.fixture
def upload(world: World) -> Upload:
    return Upload(world)


def test_a_picture_is_taken_in_encrypted(upload: Upload) -> None:
    answer = upload.put()
    assert answer.status_code == 201
    assert answer.json()["sha256"] == hashlib.sha256(JPEG).hexdigest()
    files = list((upload.world.config.data_dir / "evidence").rglob("*.bin"))
    assert len(files) == 1
    assert JPEG not in files[0].read_bytes()


def test_a_wrong_token_is_refused(upload: Upload) -> None:
    assert error_of(upload.put(token="guess")) == (404, "token")
    assert upload.stored() == 0


def test_what_is_no_jpeg_is_refused(upload: Upload) -> None:
    assert error_of(upload.put(b"GIF89a")) == (422, "picture")
    assert error_of(upload.put(JPEG[:-2])) == (422, "picture")
    assert error_of(upload.put(kind="text/html")) == (422, "content-type")
    assert upload.stored() == 0


def test_more_than_four_mebibytes_are_refused(upload: Upload) -> None:
    big = b"\xff\xd8\xff" + bytes(4 * 1024 * 1024) + b"\xff\xd9"
    assert error_of(upload.put(big)) == (413, "picture")
    assert upload.stored() == 0


def test_a_query_takes_as_many_pictures_as_it_allows(upload: Upload) -> None:
    assert [upload.put().status_code for _ in range(3)] == [201, 201, 409]
    assert upload.stored() == 2


def test_the_same_picture_may_come_again_but_no_other_under_its_id(upload: Upload) -> None:
    one = uuid7(unix_ms=5)
    assert upload.put(evidence_id=one).status_code == 201
    assert upload.put(evidence_id=one).status_code == 201
    other = b"\xff\xd8\xff other \xff\xd9"
    assert error_of(upload.put(other, evidence_id=one)) == (409, "evidence_id")
    assert upload.stored() == 1


def test_a_token_ends_with_its_query(upload: Upload) -> None:
    upload.world.clock.advance(seconds=61)
    assert error_of(upload.put()) == (403, "token")


def test_a_closed_case_takes_no_picture(upload: Upload) -> None:
    upload.world.request("ivy", "POST", f"/v1/cases/{upload.case_id}/close")
    assert upload.put().status_code in (404, 410)
    assert upload.stored() == 0


def test_only_pictures_that_a_reply_names_by_hash_are_kept(upload: Upload) -> None:
    named, altered = uuid7(unix_ms=6), uuid7(unix_ms=7)
    for one in (named, altered):
        assert upload.put(evidence_id=one).status_code == 201
    item = m.EvidenceItem(
        evidence_id=named, tracklet_id=named, captured_us=5,
        sha256=hashlib.sha256(JPEG).digest(), size_bytes=len(JPEG), similarity=0.5,
    )  # fmt: skip
    wrong = item.model_copy(update={"evidence_id": altered, "sha256": bytes(32)})
    body = m.EvidenceBody(camera_id="cam-1", items=(item, wrong))
    accepted = upload.world.controller.evidence.accept(upload.query_id, upload.case_id, body)
    assert [one.evidence_id for one in accepted] == [named]
    assert upload.stored() == 1
    pictures = upload.world.controller.evidence.pictures(upload.case_id)
    assert [picture for _, picture in pictures] == [JPEG]


def test_an_unapproved_case_gets_no_upload_address(world: World) -> None:
    case_id = UUID(world.open_case().json()["case_id"])
    with pytest.raises(Exception, match="not approved"):
        world.controller.evidence.grant(case_id, case_id, "cam-1", expires_us=1, max_pictures=1)
