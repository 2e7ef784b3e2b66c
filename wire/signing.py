"""Ed25519 signed envelopes (RFC 8032) with a purpose, so that no signature serves two ends."""

import hashlib
from typing import TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from wire.codec import decode, encode
from wire.errors import SignatureInvalid
from wire.messages import Envelope, WireModel

M = TypeVar("M", bound=WireModel)


def public_bytes(key: Ed25519PublicKey) -> bytes:
    """Return the 32 raw bytes of a public signing key."""
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def key_id(key: Ed25519PublicKey) -> bytes:
    """Return the 8-byte name of a public signing key (truncated SHA-256)."""
    return hashlib.sha256(public_bytes(key)).digest()[:8]


def sign(message: WireModel, key: Ed25519PrivateKey) -> bytes:
    """Encode and sign a message; the signature is bound to the message's kind."""
    payload = encode(message)
    signature = key.sign(_signed_bytes(type(message), payload))
    envelope = Envelope(payload=payload, key_id=key_id(key.public_key()), signature=signature)
    return encode(envelope)


def verify(kind: type[M], data: bytes, key: Ed25519PublicKey) -> M:
    """Check and decode a signed message of a given kind.

    Raises `SignatureInvalid` if it was not signed by `key` as this kind, `DecodeError` or
    `LimitExceeded` if it is no valid message.
    """
    envelope = decode(Envelope, data)
    try:
        key.verify(envelope.signature, _signed_bytes(kind, envelope.payload))
    except InvalidSignature:
        raise SignatureInvalid(f"{kind.__name__}: signature does not match the key") from None
    return decode(kind, envelope.payload)


def peek(kind: type[M], data: bytes) -> M:
    """Decode a signed message without trusting it, to learn whose key to check it with."""
    return decode(kind, decode(Envelope, data).payload)


def _signed_bytes(kind: type[WireModel], payload: bytes) -> bytes:
    return b"sightline/v1/" + kind.__name__.encode() + b"\x00" + payload
