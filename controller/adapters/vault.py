"""Keys at rest: the master key in a file only its owner reads, everything else wrapped by it."""

import os
import secrets
import stat
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from controller.errors import ControllerError

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12


class VaultError(ControllerError):
    """A key file or something encrypted cannot be used."""


class Vault:
    """Wraps keys under the master key and seals data under keys (AES-256-GCM, random nonces).

    A random 96-bit nonce is safe for 2**32 messages under one key; the master wraps far fewer,
    and a case key seals at most some thousand blobs.
    """

    def __init__(self, master_key: bytes) -> None:
        if len(master_key) != KEY_BYTES:
            raise VaultError(f"master.key: must hold {KEY_BYTES} bytes; restore it from a backup")
        self._master = AESGCM(master_key)

    @staticmethod
    def new_key() -> bytes:
        """Return a fresh random 32-byte key."""
        return secrets.token_bytes(KEY_BYTES)

    def wrap(self, key: bytes, *, label: str) -> bytes:
        """Encrypt a key under the master key, bound to `label`."""
        return _encrypt(self._master, key, label)

    def unwrap(self, wrapped: bytes, *, label: str) -> bytes:
        """Return a wrapped key; raises `VaultError` if it was altered or wrapped for another."""
        return _decrypt(self._master, wrapped, label)

    @staticmethod
    def seal(key: bytes, plaintext: bytes, *, label: str) -> bytes:
        """Encrypt data under a 32-byte key, bound to `label`."""
        return _encrypt(AESGCM(key), plaintext, label)

    @staticmethod
    def open(key: bytes, sealed: bytes, *, label: str) -> bytes:
        """Return sealed data; raises `VaultError` if it was altered or sealed for another use."""
        return _decrypt(AESGCM(key), sealed, label)


def create_key_files(
    directory: Path, signing: Ed25519PrivateKey | None = None
) -> Ed25519PrivateKey:
    """Make signing.key (or write the one given) and master.key; refuses to overwrite either.

    Both are 0600.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in ("signing.key", "master.key"):
        if (directory / name).exists():
            raise VaultError(f"{name}: {directory / name} exists; use another data directory")
    signing = signing or Ed25519PrivateKey.generate()
    _write_secret(directory / "signing.key", signing.private_bytes_raw())
    _write_secret(directory / "master.key", secrets.token_bytes(KEY_BYTES))
    return signing


def open_vault(directory: Path) -> Vault:
    """Read master.key; raises `VaultError` if it is missing or readable by others."""
    return Vault(_read_secret(directory / "master.key"))


def read_signing_key(directory: Path) -> Ed25519PrivateKey:
    """Read the controller's signing key; raises `VaultError` like `open_vault`."""
    raw = _read_secret(directory / "signing.key")
    if len(raw) != KEY_BYTES:
        raise VaultError(f"signing.key: must hold {KEY_BYTES} bytes; restore it from a backup")
    return Ed25519PrivateKey.from_private_bytes(raw)


def _write_secret(path: Path, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _read_secret(path: Path) -> bytes:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise VaultError(f"{path.name}: others can read {path}; run chmod 600 on it")
        return path.read_bytes()
    except OSError as error:
        raise VaultError(
            f"{path.name}: cannot read {path} ({error.strerror}); run `sightline controller init` "
            "or restore it from a backup"
        ) from None


def _encrypt(cipher: AESGCM, plaintext: bytes, label: str) -> bytes:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, plaintext, label.encode())


def _decrypt(cipher: AESGCM, sealed: bytes, label: str) -> bytes:
    nonce, body = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
    try:
        return cipher.decrypt(nonce, body, label.encode())
    except (InvalidTag, ValueError):
        raise VaultError(f"{label.split('|')[0]}: cannot be decrypted with this key") from None
