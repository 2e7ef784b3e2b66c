"""What workers and owner say to each other, and what checking makes of a message."""

from contextlib import suppress

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.adapters.workers_codec import (
    Condition,
    Handover,
    WorkerSpeechInvalid,
    decode_speech,
    encode_condition,
    encode_handover,
)
from controller.services.clock_offsets import NONE, Correction
from controller.services.ingest_batches import Numbered, Reason, Refused, pack_batch
from tests.unit.wire.samples import SIGHTING, U2
from wire import messages as m

MOMENT = st.integers(0, (1 << 53) - 1)
SHARE = st.floats(0, 1)
NUMBER = st.builds(
    Numbered, st.text(max_size=64), st.just("sightings"), st.uuids(), st.integers(1, (1 << 53) - 1)
)
SIGHTINGS = st.builds(
    lambda id_, start_us, dwell_us, **values: SIGHTING.model_copy(
        update={"id": id_, "start_us": start_us, "end_us": start_us + dwell_us, **values}
    ),
    st.uuids(), MOMENT, st.integers(0, 10**9),
    epoch=st.integers(0, 999_999), time_uncertainty_s=st.floats(0, 86_400),
    template=st.binary(min_size=192, max_size=192), mask_state=st.sampled_from(m.MaskState),
    mask_probability=SHARE, quality=SHARE, face_count=st.integers(1, (1 << 31) - 1),
)  # fmt: skip
BATCHES = st.builds(
    m.SightingBatch, agent_id=st.just("box-1"), spool_id=st.uuids(), seq=st.integers(1, 1 << 52),
    sent_us=MOMENT, camera_id=st.text(min_size=1, max_size=64), shard=st.integers(0, 65_535),
    space_id=st.text(min_size=1, max_size=64), variant=st.text(min_size=1, max_size=64),
    sightings=st.lists(SIGHTINGS, min_size=1, max_size=5).map(tuple),
)  # fmt: skip
REFUSALS = st.builds(
    Refused, st.text(max_size=300), st.binary(max_size=300), st.sampled_from(Reason),
    st.text(max_size=600), st.none() | NUMBER,
)  # fmt: skip


@given(BATCHES, MOMENT)
def test_a_packed_batch_gives_rows_of_exactly_what_was_said(
    batch: m.SightingBatch, received_us: int
) -> None:
    rows = pack_batch(batch, received_us).rows(NONE)
    assert len(rows) == len(batch.sightings)
    for row, said in zip(rows, batch.sightings, strict=True):
        for name in ("id", "epoch", "start_us", "end_us", "time_uncertainty_s", "template",
                     "mask_probability", "quality", "face_count"):  # fmt: skip
            assert getattr(row, name) == getattr(said, name)
        assert row.mask_state == said.mask_state.value
        assert (row.agent_id, row.camera_id, row.space_id) == (
            batch.agent_id, batch.camera_id, batch.space_id,
        )  # fmt: skip
        assert row.clock_offset_s == 0.0


def test_a_correction_stands_beside_the_raw_times_and_widens_the_uncertainty() -> None:
    batch = m.SightingBatch(
        agent_id="box-1", spool_id=U2, seq=1, sent_us=1, camera_id="cam-1", shard=0,
        space_id="space", variant="float", sightings=(SIGHTING,),
    )  # fmt: skip
    row = pack_batch(batch, 5).rows(Correction(-40.0, 0.5))[0]
    assert (row.start_us, row.end_us) == (SIGHTING.start_us, SIGHTING.end_us)
    assert row.clock_offset_s == -40.0
    assert row.time_uncertainty_s == SIGHTING.time_uncertainty_s + 0.5


@given(st.integers(0, 1 << 60), st.lists(BATCHES.map(lambda b: pack_batch(b, 7)) | REFUSALS))
def test_a_handover_arrives_as_it_was(number: int, outcomes: list[object]) -> None:
    said = decode_speech(encode_handover(number, outcomes))  # type: ignore[arg-type]
    assert said == Handover(number, tuple(outcomes))  # type: ignore[arg-type]


@given(st.booleans())
def test_a_condition_arrives_as_it_was(connected: bool) -> None:
    assert decode_speech(encode_condition(connected=connected)) == Condition(connected)


@given(st.binary(max_size=200))
def test_a_damaged_frame_is_an_error_of_ours_and_nothing_else(frame: bytes) -> None:
    with suppress(WorkerSpeechInvalid):
        decode_speech(frame)


@pytest.mark.parametrize(
    "said", [[1, [[None] * 8]], [1, [[["a", "b", b"short", 1], *[0] * 7]]], {"a": 1}, [1], 7]
)
def test_a_frame_of_another_shape_is_refused(said: object) -> None:
    with pytest.raises(WorkerSpeechInvalid):
        decode_speech(cbor2.dumps(said))
