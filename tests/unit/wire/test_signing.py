"""Signatures and seals: what is altered, misdirected or reused is refused."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.wire.samples import MESSAGES
from wire import codec, sealing, signing
from wire import messages as m
from wire.errors import SealInvalid, SignatureInvalid, WireError

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))
BOX = X25519PrivateKey.from_private_bytes(bytes(range(32)))
QUERY = MESSAGES["query"]


def test_a_signed_query_verifies_with_the_right_key_only() -> None:
    data = signing.sign(QUERY, KEY)
    assert signing.verify(m.Query, data, KEY.public_key()) == QUERY
    with pytest.raises(SignatureInvalid):
        signing.verify(m.Query, data, OTHER.public_key())


def test_a_signature_for_one_kind_of_message_is_worthless_for_another() -> None:
    data = signing.sign(MESSAGES["health"], KEY)
    with pytest.raises(SignatureInvalid):
        signing.verify(m.Query, data, KEY.public_key())


@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_any_flipped_bit_is_refused(at: int, bit: int) -> None:
    data = bytearray(signing.sign(QUERY, KEY))
    data[at % len(data)] ^= 1 << bit
    try:
        verified = signing.verify(m.Query, bytes(data), KEY.public_key())
    except WireError:
        return
    # Only the unsigned hint of who signed may change without notice.
    assert verified == QUERY
    assert (
        codec.decode(m.Envelope, bytes(data)).signature
        == codec.decode(m.Envelope, signing.sign(QUERY, KEY)).signature
    )


def test_a_sealed_box_opens_for_its_recipient_and_its_purpose_only() -> None:
    sealed = sealing.seal(b"probe", BOX.public_key().public_bytes_raw(), associated=b"query-1")
    assert sealing.open_sealed(sealed, BOX, associated=b"query-1") == b"probe"
    with pytest.raises(SealInvalid):
        sealing.open_sealed(sealed, BOX, associated=b"query-2")
    with pytest.raises(SealInvalid):
        sealing.open_sealed(sealed, X25519PrivateKey.generate(), associated=b"query-1")


@given(at=st.integers(0, 1000), bit=st.integers(0, 7))
def test_an_altered_sealed_box_is_refused(at: int, bit: int) -> None:
    sealed = bytearray(sealing.seal(b"x" * 40, BOX.public_key().public_bytes_raw(), associated=b""))
    sealed[at % len(sealed)] ^= 1 << bit
    # The highest bit of an X25519 public key is ignored by RFC 7748, but not by the derivation.
    with pytest.raises(SealInvalid):
        sealing.open_sealed(bytes(sealed), BOX, associated=b"")


@given(data=st.binary(max_size=100))
def test_random_bytes_are_no_sealed_box(data: bytes) -> None:
    with pytest.raises(SealInvalid):
        sealing.open_sealed(data, BOX, associated=b"")
