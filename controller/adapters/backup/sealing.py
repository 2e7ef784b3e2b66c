"""To whom a backup's keys and records are sealed: an X25519 key that a passphrase stands for.

Who makes backups needs the public half only; the passphrase is asked for once, and at a restore.
"""

import secrets
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from controller.adapters.backup.manifest import BackupError
from wire.errors import SealInvalid
from wire.sealing import open_sealed, seal

MIN_PASSPHRASE_CHARS: Final = 12
MAX_SEALED_BYTES: Final = 1 << 30
_SALT_BYTES: Final = 16
_COST: Final = 1 << 17
"""scrypt N with r = 8, p = 1: 128 MiB for each guess. Fixed here: a folder must not weaken it."""


def new_salt() -> str:
    """Return a random salt as hex."""
    return secrets.token_hex(_SALT_BYTES)


def private_key(passphrase: str, salt: str) -> X25519PrivateKey:
    """Derive the key pair that a passphrase stands for; raises `BackupError` if it is short."""
    if len(passphrase) < MIN_PASSPHRASE_CHARS:
        raise BackupError(f"passphrase: give at least {MIN_PASSPHRASE_CHARS} characters")
    scrypt = Scrypt(salt=bytes.fromhex(salt), length=32, n=_COST, r=8, p=1)
    return X25519PrivateKey.from_private_bytes(scrypt.derive(passphrase.encode()))


def public_hex(key: X25519PrivateKey) -> str:
    """Return the public half as hex, as `--recipient` takes it."""
    return key.public_key().public_bytes_raw().hex()


@dataclass(frozen=True, slots=True)
class Seals:
    """Seals files of one folder to its recipient; each is bound to its path and the lineage."""

    recipient: bytes
    lineage: int

    def seal(self, content: bytes, path: str) -> bytes:
        """Seal a file's content, at most 1 GiB."""
        if len(content) > MAX_SEALED_BYTES:
            raise BackupError(f"{path}: {len(content)} bytes are more than a sealed file may have")
        return seal(content, self.recipient, associated=self._bound(path))

    def open(self, sealed: bytes, path: str, key: X25519PrivateKey) -> bytes:
        """Open a sealed file; raises `BackupError` naming it."""
        try:
            return open_sealed(sealed, key, associated=self._bound(path))
        except SealInvalid:
            raise BackupError(f"{path}: cannot be opened with this passphrase") from None

    def _bound(self, path: str) -> bytes:
        return f"sightline/backup/v1|{self.lineage}|{path}".encode()
