"""Sealed boxes: anyone can seal to a public key, only its holder can open.

Ephemeral X25519 (RFC 7748) -> HKDF-SHA256 (RFC 5869) -> ChaCha20-Poly1305 (RFC 8439), the
construction of HPKE's base mode in the few primitives that every box has.
"""

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from wire.errors import SealInvalid

_NONCE: Final = bytes(12)
_KEY_BYTES: Final = 32
OVERHEAD_BYTES: Final = _KEY_BYTES + 16


def seal(plaintext: bytes, recipient: bytes, *, associated: bytes) -> bytes:
    """Seal bytes to a recipient's raw 32-byte X25519 public key, bound to `associated`."""
    ephemeral = X25519PrivateKey.generate()
    ephemeral_public = ephemeral.public_key().public_bytes_raw()
    shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(recipient))
    cipher = ChaCha20Poly1305(_derive(shared, ephemeral_public, recipient))
    # The key is used once, so a constant nonce is safe.
    return ephemeral_public + cipher.encrypt(_NONCE, plaintext, associated)


def open_sealed(sealed: bytes, key: X25519PrivateKey, *, associated: bytes) -> bytes:
    """Open a sealed box; raises `SealInvalid` if it is not for this key or was altered."""
    if len(sealed) < OVERHEAD_BYTES:
        raise SealInvalid(f"sealed box of {len(sealed)} bytes is too short")
    ephemeral_public, body = sealed[:_KEY_BYTES], sealed[_KEY_BYTES:]
    try:
        shared = key.exchange(X25519PublicKey.from_public_bytes(ephemeral_public))
        derived = _derive(shared, ephemeral_public, key.public_key().public_bytes_raw())
        return ChaCha20Poly1305(derived).decrypt(_NONCE, body, associated)
    except (InvalidTag, ValueError):
        raise SealInvalid("sealed box is not for this key or was altered") from None


def _derive(shared: bytes, ephemeral_public: bytes, recipient: bytes) -> bytes:
    info = b"sightline/v1/seal" + ephemeral_public + recipient
    return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=info).derive(shared)
