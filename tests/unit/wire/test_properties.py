"""Properties: anything decodes or is refused by the contract's own error; round trips hold."""

import cbor2
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.wire.samples import MESSAGES
from wire import codec
from wire.errors import WireError
from wire.messages import WireModel
from wire.signing import peek

KINDS = sorted({type(value) for value in MESSAGES.values()}, key=lambda kind: kind.__name__)

cbor_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.binary(max_size=40)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(max_size=12) | st.integers(), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


def decodes_or_is_refused(kind: type[WireModel], data: bytes) -> None:
    try:
        message = codec.decode(kind, data)
    except WireError:
        return
    assert codec.decode(kind, codec.encode(message)) == message


@given(kind=st.sampled_from(KINDS), data=st.binary(max_size=400))
@settings(max_examples=500)
def test_random_bytes(kind: type[WireModel], data: bytes) -> None:
    decodes_or_is_refused(kind, data)


@given(kind=st.sampled_from(KINDS), value=cbor_values)
@settings(max_examples=300)
def test_random_cbor(kind: type[WireModel], value: object) -> None:
    decodes_or_is_refused(kind, cbor2.dumps(value))


@given(name=st.sampled_from(sorted(MESSAGES)), field=st.integers(0, 30), value=cbor_values)
@settings(max_examples=500)
def test_a_message_with_one_field_replaced(name: str, field: int, value: object) -> None:
    message = cbor2.loads(codec.encode(MESSAGES[name]))
    message[sorted(message)[field % len(message)]] = value
    decodes_or_is_refused(type(MESSAGES[name]), cbor2.dumps(message))


@given(name=st.sampled_from(sorted(MESSAGES)), at=st.integers(0, 10_000), bit=st.integers(0, 7))
@settings(max_examples=500)
def test_a_message_with_one_bit_flipped(name: str, at: int, bit: int) -> None:
    data = bytearray(codec.encode(MESSAGES[name]))
    data[at % len(data)] ^= 1 << bit
    decodes_or_is_refused(type(MESSAGES[name]), bytes(data))


@given(kind=st.sampled_from(KINDS), data=st.binary(max_size=300))
def test_peeking_at_random_envelopes(kind: type[WireModel], data: bytes) -> None:
    try:
        peek(kind, data)
    except WireError:
        return
