"""The box's database: nothing lost, nothing readable without the key, nothing twice."""

from pathlib import Path
from uuid import UUID

import pytest

from agent.crypt import StoreUnreadable
from agent.records import StoredTracklet
from agent.store import LOCAL, NO_KEY, READY, SPOOLED, Store
from agent.vision.types import KeyFrame, MaskStretch, PathSample
from wire.ids import uuid7

KEY = bytes(range(32))


def tracklet(number: int, start_us: int = 1_000_000) -> StoredTracklet:
    return StoredTracklet(
        id=uuid7(unix_ms=number), camera_id="cam-1", start_us=start_us, end_us=start_us + 10,
        time_uncertainty_s=0.5, epoch=0, shard=1, template=b"T" * 192, raw_embedding=None,
        mask_state="masked", mask_probability=0.9, quality=0.5, face_count=3,
        path=(PathSample(0, 1.0, 2.0, 0.1),), masks=(MaskStretch(0, "masked", 0.9),),
        key_frames=(KeyFrame(1, b"JPEGBYTES", (1.0, 2.0, 3.0, 4.0), ((5.0, 6.0, 7.0, 8.0),),
                             ((1.0, 1.0),)),),
    )  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store.sqlite", KEY)


def test_a_tracklet_comes_back_as_it_was_and_a_second_time_is_not_taken(store: Store) -> None:
    one = tracklet(1)
    assert store.add_tracklet(one, READY)
    assert not store.add_tracklet(one, READY)
    assert store.overlapping(0, 2_000_000) == [one]


def test_the_file_shows_neither_template_nor_picture_nor_key(store: Store, tmp_path: Path) -> None:
    store.add_tracklet(tracklet(1), READY)
    store.replace_keys({(1, 1): b"SHARDKEY" * 4})
    store.spool("sightings", "t", lambda seq: b"PAYLOADPAYLOAD")
    store.close()
    raw = b"".join(p.read_bytes() for p in tmp_path.iterdir())
    for secret in (b"TTTTTTTT", b"JPEGBYTES", b"SHARDKEY", b"PAYLOADPAYLOAD", KEY):
        assert secret not in raw


def test_another_devices_key_reads_nothing(store: Store, tmp_path: Path) -> None:
    store.add_tracklet(tracklet(1), READY)
    store.close()
    with pytest.raises(StoreUnreadable, match="another device"):
        Store(tmp_path / "store.sqlite", bytes(32)).overlapping(0, 2_000_000)


def test_spooling_marks_the_tracklets_and_numbers_go_on_after_a_restart(
    store: Store, tmp_path: Path
) -> None:
    one = tracklet(1)
    store.add_tracklet(one, READY)
    assert store.spool("sightings", "t", lambda seq: b"%d" % seq, (one.id,)) == 1
    assert store.in_state(READY, 10) == []
    assert store.in_state(SPOOLED, 10) == [one]
    spool_id = store.spool_ids["sightings"]
    store.acknowledge("sightings", 1)
    store.close()
    again = Store(tmp_path / "store.sqlite", KEY)
    assert again.spool_ids["sightings"] == spool_id
    assert again.spool("sightings", "t", lambda seq: b"x") == 2


def test_a_payload_that_cannot_be_made_leaves_no_gap(store: Store) -> None:
    def broken(seq: int) -> bytes:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        store.spool("sightings", "t", broken)
    assert store.spool("sightings", "t", lambda seq: b"x") == 1


def test_an_acknowledgement_is_cumulative_and_only_for_its_stream(store: Store) -> None:
    for _ in range(3):
        store.spool("sightings", "t", lambda seq: b"x")
    store.spool("replies", "r", lambda seq: b"y")
    assert store.acknowledge("sightings", 2) == 2
    assert [e.seq for e in store.pending("sightings", 0, 10)] == [3]
    assert [e.seq for e in store.pending("replies", 0, 10)] == [1]


def test_the_ring_drops_the_oldest_but_never_what_is_not_delivered(store: Store) -> None:
    for number, state in enumerate((SPOOLED, READY, NO_KEY, LOCAL, SPOOLED), start=1):
        store.add_tracklet(tracklet(number, start_us=number * 1000), state)
    assert store.purge(before_us=3_500, max_bytes=1 << 30) == 1
    assert store.purge(before_us=0, max_bytes=0) == 2
    assert {t.start_us for t in store.overlapping(0, 10_000)} == {2000, 3000}


def test_a_query_or_its_nonce_is_taken_once(store: Store) -> None:
    first, second = UUID(int=1), UUID(int=2)
    assert store.remember_query(first, b"n" * 16, 100, now_us=0)
    assert not store.remember_query(first, b"m" * 16, 100, now_us=0)
    assert not store.remember_query(second, b"n" * 16, 100, now_us=0)
    assert store.remember_query(first, b"n" * 16, 300, now_us=200)


def test_births_are_numbered_upwards_for_ever(store: Store, tmp_path: Path) -> None:
    assert [store.next_birth(), store.next_birth()] == [1, 2]
    store.close()
    assert Store(tmp_path / "store.sqlite", KEY).next_birth() == 3
