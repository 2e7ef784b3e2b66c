"""Cases through the real HTTP API: who may do what, what is refused, what is left afterwards."""

import sqlite3
from pathlib import Path
from uuid import UUID

import pytest

from controller.services.values import Principal, Role
from tests.integration.controller.world import GOOD_PHOTO, World, error_of


def rows(world: World, table: str) -> int:
    with sqlite3.connect(world.config.data_dir / "records.sqlite") as database:
        return int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def test_a_case_needs_two_people(world: World) -> None:
    case_id = world.open_case("ana").json()["case_id"]
    path = f"/v1/cases/{case_id}/approve"
    assert error_of(world.request("ana", "POST", path)) == (403, "approved_by")
    assert error_of(world.request("ivy", "POST", path)) == (403, "role")
    approved = world.request("noor", "POST", path)
    assert (approved.status_code, approved.json()["state"]) == (200, "approved")
    assert approved.json()["approved_by"] == "noor"


def test_a_case_cannot_be_approved_twice(world: World) -> None:
    case_id = world.approved_case()
    again = world.request("ana", "POST", f"/v1/cases/{case_id}/approve")
    assert error_of(again) == (409, "state")


@pytest.mark.parametrize("who", ["tom", "max"])
def test_technicians_and_auditors_open_no_case(world: World, who: str) -> None:
    assert error_of(world.open_case(who)) == (403, "role")


def test_nobody_does_anything_without_a_token(world: World) -> None:
    for path in ("/v1/fleet", "/v1/cases", "/v1/stats", "/v1/audit"):
        assert error_of(world.request(None, "GET", path)) == (401, "token")
    wrong = world.request(None, "GET", "/v1/cases", headers={"Authorization": "Bearer wrong"})
    assert error_of(wrong) == (401, "token")


def test_a_token_ends_after_eight_hours(world: World) -> None:
    world.clock.advance(hours=7.9)
    assert world.request("ivy", "GET", "/v1/cases").status_code == 200
    world.clock.advance(hours=0.2)
    assert error_of(world.request("ivy", "GET", "/v1/cases")) == (401, "token")


def test_an_unapproved_case_is_not_investigated(world: World) -> None:
    case_id = world.open_case().json()["case_id"]
    answer = world.request("ivy", "POST", f"/v1/cases/{case_id}/investigate")
    assert error_of(answer) == (403, "state")
    assert world.outbox.of_kind("queries") == []


def test_an_expired_case_is_refused_everything_and_then_erased(world: World) -> None:
    case_id = world.approved_case()
    world.clock.advance(hours=13)
    world.tokens["ivy"] = world._login("ivy")
    base = f"/v1/cases/{case_id}"
    assert error_of(world.request("ivy", "POST", f"{base}/investigate")) == (403, "expires_at")
    assert error_of(world.request("ivy", "GET", f"{base}/report.json")) == (403, "expires_at")
    world.controller.housekeeping.tick()
    assert world.request("ivy", "GET", base).json()["state"] == "expired"
    assert error_of(world.request("ivy", "POST", f"{base}/investigate")) == (410, "state")
    assert (rows(world, "cases"), rows(world, "case_photos")) == (0, 0)


def test_closing_deletes_everything_and_the_case_key(world: World) -> None:
    case_id = world.approved_case()
    case = world.controller.cases.get(UUID(case_id))
    world.controller.cases.put_result(case, "report.json", b"{}")
    photo = world.controller.stores.cases.photos(case.case_id)[0]
    marks = [case.wrapped_key, case.reply_private_sealed, photo.photo[:40], photo.probe[:40]]
    assert all(holding(world.config.data_dir, mark) for mark in marks)
    closed = world.request("ivy", "POST", f"/v1/cases/{case_id}/close").json()
    assert closed["state"] == "closed"
    assert closed["deleted"]["cases"] == 1
    assert closed["deleted"]["case_results"] == 1
    for name in ("report.json", "report.html"):
        answer = world.request("ivy", "GET", f"/v1/cases/{case_id}/{name}")
        assert error_of(answer) == (410, "state")
    assert not any(holding(world.config.data_dir, mark) for mark in marks)
    actions = [line.action for line in world.controller.stores.audit.lines()]
    assert actions[-3:] == ["case.opened", "case.approved", "case.closed"]


def test_a_case_that_was_never_approved_is_withdrawn(world: World) -> None:
    case_id = world.open_case().json()["case_id"]
    closed = world.request("ivy", "POST", f"/v1/cases/{case_id}/close").json()
    assert closed["state"] == "withdrawn"


def test_a_photo_lies_encrypted_and_never_comes_back(world: World) -> None:
    answer = world.open_case(photos=(b"face:77777777777777",))
    assert answer.status_code == 201
    assert b"face:77777777777777".decode() not in answer.text
    assert not holding(world.config.data_dir, b"face:77777777777777")


@pytest.mark.parametrize(
    ("photo", "words"),
    [
        (b"none:", "no face"),
        (b"two:", "two faces"),
        (b"\x00\x01garbage", "cannot be read"),
        (b"", "empty"),
    ],
)
def test_a_bad_photo_is_one_line_and_nothing_is_written(
    world: World, photo: bytes, words: str
) -> None:
    answer = world.open_case(photos=(GOOD_PHOTO, photo))
    assert error_of(answer) == (422, "photo")
    message = answer.json()["error"]["message"]
    assert words in message
    assert "\n" not in message
    assert (rows(world, "cases"), rows(world, "case_photos")) == (0, 0)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"camera_ids": ["cam-1", "cam-99"]}, "camera_ids"),
        ({"onset_date": None}, "onset_date"),
        ({"onset_date": "2025-01-01"}, "onset_date"),
        ({"legal_basis": "curiosity"}, "legal_basis"),
        ({"label": None}, "label"),
        ({"scope_end": "2026-11-18T00:00:00Z"}, "scope_end"),
        ({"scope_start": "2026-10-01T00:00:00Z"}, "scope_start"),
        ({"scope_start": "2026-11-19T00:00:00"}, "scope_start"),
        ({"expires_at": "2026-11-20T11:00:00Z"}, "expires_at"),
        ({"expires_at": "2027-11-20T11:00:00Z"}, "expires_at"),
        ({"area_x_m": "0", "area_y_m": "0"}, "area.radius_m"),
        ({"area_x_m": "9999", "area_y_m": "0", "area_radius_m": "5"}, "scope"),
    ],
)
def test_a_bad_field_is_named(world: World, changes: dict[str, object], field: str) -> None:
    answer = world.open_case(**changes)
    assert error_of(answer) == (422, field)
    assert rows(world, "cases") == 0


def test_an_unknown_case_is_not_found(world: World) -> None:
    answer = world.request("ivy", "GET", f"/v1/cases/{UUID(int=7)}")
    assert error_of(answer) == (404, "case_id")


def test_there_is_no_report_before_the_investigation(world: World) -> None:
    case_id = world.approved_case()
    answer = world.request("ivy", "GET", f"/v1/cases/{case_id}/report.json")
    assert error_of(answer) == (404, "report.json")


def holding(directory: Path, mark: bytes) -> list[Path]:
    return [p for p in directory.rglob("*") if p.is_file() and mark in p.read_bytes()]


def test_strangers_do_not_get_their_body_read(world: World) -> None:
    photo = bytes(3 * 1024 * 1024)
    answer = world.request(None, "POST", "/v1/cases", files=[("photos", ("a.jpg", photo))])
    assert error_of(answer) == (401, "token")
    long = world.http.post("/v1/login", json={"name": "ivy", "password": "x" * 5_000})
    assert error_of(long) == (413, "body")


def test_a_large_photo_is_never_written_to_a_temporary_file(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_disk(*_: object) -> None:
        raise AssertionError("rolled over to the disk")

    monkeypatch.setattr("tempfile.SpooledTemporaryFile.rollover", no_disk)
    answer = world.open_case(photos=(b"none:" + bytes(4 * 1024 * 1024),))
    assert error_of(answer) == (422, "photo")


def test_too_many_or_too_large_photos_are_refused(world: World) -> None:
    assert error_of(world.open_case(photos=(GOOD_PHOTO,) * 9)) == (422, "photos")
    assert error_of(world.open_case(photos=(bytes(10 * 1024 * 1024 + 1),))) == (413, "photo")
    assert rows(world, "cases") == 0


def test_an_interrupted_investigation_can_be_started_again(world: World) -> None:
    case_id = world.approved_case()
    world.controller.cases.begin(UUID(case_id), Principal("ivy", Role.INVESTIGATOR))
    running = world.request("ivy", "POST", f"/v1/cases/{case_id}/investigate")
    assert error_of(running) == (409, "state")
    assert world.controller.cases.reset_interrupted() == 1
    case = world.request("ivy", "GET", f"/v1/cases/{case_id}").json()
    assert case["state"] == "failed"
    assert "restart" in case["error"]
    again = world.request("ivy", "POST", f"/v1/cases/{case_id}/investigate")
    assert again.status_code == 202


def test_retention_destroys_days_and_their_keys(world: World) -> None:
    keys = world.controller.keys
    world.controller.housekeeping.tick()
    first = min(keys.known_epochs())
    world.clock.advance(days=14)
    world.controller.housekeeping.tick()
    assert first not in keys.known_epochs()
    assert max(keys.known_epochs()) == first + 14 + 4
    before = len(world.outbox.of_kind("keys"))
    world.controller.housekeeping.tick()
    assert len(world.outbox.of_kind("keys")) == before
