"""Encryption at rest: ChaCha20-Poly1305 with a random nonce, bound to what the row is."""

import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from agent.errors import AgentError

NONCE_BYTES: Final = 12


class StoreUnreadable(AgentError):
    """A row of the local store was altered or belongs to another device."""


class RowCipher:
    """Encrypt and decrypt rows of the local store with the device's store key."""

    def __init__(self, key: bytes) -> None:
        self._cipher = ChaCha20Poly1305(key)

    def seal(self, plaintext: bytes, label: bytes) -> bytes:
        """Encrypt bytes bound to a label."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plaintext, label)

    def open(self, sealed: bytes, label: bytes) -> bytes:
        """Decrypt bytes; raises `StoreUnreadable` if altered or of another device."""
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], label)
        except InvalidTag:
            raise StoreUnreadable(
                "store: a row cannot be decrypted; the disk belongs to another device"
            ) from None
