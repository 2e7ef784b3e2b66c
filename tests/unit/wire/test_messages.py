"""The contract's payloads: golden bytes, evolution rules, limits."""

from pathlib import Path

import cbor2
import pytest

from tests.unit.wire.samples import MESSAGES, SIGHTING
from wire import codec, limits
from wire import messages as m
from wire.errors import DecodeError, LimitExceeded

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_golden_payload_of_schema_1_still_decodes_and_encodes_alike(name: str) -> None:
    golden = (GOLDEN / f"{name}.v1.cbor").read_bytes()
    assert codec.decode(type(MESSAGES[name]), golden) == MESSAGES[name]
    # Fields added since then have defaults; none was removed, renamed or encoded anew.
    now = cbor2.loads(codec.encode(MESSAGES[name]))
    assert {k: now.get(k) for k in cbor2.loads(golden)} == cbor2.loads(golden)


def test_every_message_of_the_contract_has_a_golden_payload() -> None:
    assert {p.name for p in GOLDEN.iterdir()} == {f"{name}.v1.cbor" for name in MESSAGES}


def test_a_field_from_a_newer_peer_is_ignored() -> None:
    value = cbor2.loads(codec.encode(MESSAGES["ack"])) | {"invented_later": [1, {"a": 2}]}
    assert codec.decode(m.Ack, cbor2.dumps(value)) == MESSAGES["ack"]


def test_an_enum_value_from_a_newer_peer_becomes_unknown() -> None:
    value = cbor2.loads(codec.encode(MESSAGES["query"])) | {"kind": "invented_later"}
    assert codec.decode(m.Query, cbor2.dumps(value)).kind is m.QueryKind.UNKNOWN


def test_a_full_batch_fits_and_one_sighting_more_is_refused() -> None:
    batch = MESSAGES["sighting_batch"]
    assert isinstance(batch, m.SightingBatch)
    full = batch.model_copy(update={"sightings": (SIGHTING,) * limits.MAX_SIGHTINGS_PER_BATCH})
    assert len(codec.encode(full)) < limits.MAX_MESSAGE_BYTES
    over = cbor2.loads(codec.encode(full))
    over["sightings"].append(over["sightings"][0])
    with pytest.raises(DecodeError, match="sightings"):
        codec.decode(m.SightingBatch, cbor2.dumps(over))


def test_a_sighting_stays_under_its_size_limit_with_every_field_at_its_longest() -> None:
    longest = SIGHTING.model_copy(
        update={"start_us": (1 << 53) - 2, "end_us": (1 << 53) - 1, "face_count": (1 << 31) - 1}
    )
    assert len(cbor2.dumps(longest.model_dump())) <= limits.MAX_SIGHTING_BYTES


def test_an_oversized_message_is_refused_on_both_sides() -> None:
    huge = m.Envelope(payload=bytes(limits.MAX_MESSAGE_BYTES), key_id=bytes(8), signature=bytes(64))
    with pytest.raises(LimitExceeded):
        codec.encode(huge)
    with pytest.raises(LimitExceeded):
        codec.decode(m.Envelope, bytes(limits.MAX_MESSAGE_BYTES + 1))


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("end_us", 0, "end_us is before start_us"),
        ("template", bytes(191), "template"),
        ("mask_probability", 1.5, "mask_probability"),
        ("id", b"short", "id"),
        ("face_count", 0, "face_count"),
        ("quality", float("nan"), "quality"),
    ],
)
def test_a_bad_sighting_field_is_refused_by_name(field: str, value: object, named: str) -> None:
    batch = cbor2.loads(codec.encode(MESSAGES["sighting_batch"]))
    batch["sightings"][0][field] = value
    with pytest.raises(DecodeError, match=named):
        codec.decode(m.SightingBatch, cbor2.dumps(batch))


def test_an_error_never_repeats_the_offending_value() -> None:
    batch = cbor2.loads(codec.encode(MESSAGES["sighting_batch"]))
    batch["sightings"][0]["template"] = b"SECRETTEMPLATE" * 3
    with pytest.raises(DecodeError) as caught:
        codec.decode(m.SightingBatch, cbor2.dumps(batch))
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    "payload",
    [b"", b"\xa1", b"\x9f" * 5000, b"\x81" * 5000, b"\x1a\xff\xff\xff\xff", b"\xbb" + b"\xff" * 8,
     b"\x5b" + b"\xff" * 8, cbor2.dumps({"a": cbor2.CBORTag(55799, 1)}),
     codec.encode(MESSAGES["ack"]) + b"\x00"],
)  # fmt: skip
def test_hostile_cbor_is_refused_with_the_contracts_own_error(payload: bytes) -> None:
    with pytest.raises(DecodeError):
        codec.decode(m.Ack, payload)
