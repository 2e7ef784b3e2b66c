"""The keys a box is born with: they are made here and never leave it."""

import base64
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.errors import AgentError

KEY_FILE: Final = "device.key"
PUBLIC_FILE: Final = "identity.json"


class IdentityInvalid(AgentError):
    """The device's keys are missing or unreadable."""


@dataclass(frozen=True)
class DeviceIdentity:
    """A box's private keys: signing, opening sealed boxes, the local store, and id derivation."""

    agent_id: str
    camera_id: str
    signing: Ed25519PrivateKey
    sealing: X25519PrivateKey
    store_key: bytes
    id_key: bytes

    def __repr__(self) -> str:
        """Name the box only, so that no key can be printed."""
        return f"DeviceIdentity({self.agent_id!r})"

    def public(self) -> dict[str, str]:
        """Return what the controller must know of this box."""
        return {
            "agent_id": self.agent_id,
            "camera_id": self.camera_id,
            "signing_public_b64": _text(self.signing.public_key().public_bytes_raw()),
            "sealing_public_b64": _text(self.sealing.public_key().public_bytes_raw()),
        }


def create_identity(data_dir: Path, *, agent_id: str, camera_id: str) -> DeviceIdentity:
    """Make and store new keys (mode 0600); refuses to replace existing ones."""
    data_dir.mkdir(parents=True, exist_ok=True)
    identity = DeviceIdentity(
        agent_id, camera_id, Ed25519PrivateKey.generate(), X25519PrivateKey.generate(),
        secrets.token_bytes(32), secrets.token_bytes(32),
    )  # fmt: skip
    content = {
        "agent_id": agent_id,
        "camera_id": camera_id,
        "signing": _text(identity.signing.private_bytes_raw()),
        "sealing": _text(identity.sealing.private_bytes_raw()),
        "store_key": _text(identity.store_key),
        "id_key": _text(identity.id_key),
    }
    try:
        handle = os.open(data_dir / KEY_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise IdentityInvalid(
            f"data_dir {data_dir}: already holds a device key; use another folder or remove it"
        ) from None
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    public = json.dumps(identity.public(), indent=2) + "\n"
    (data_dir / PUBLIC_FILE).write_text(public, encoding="utf-8")
    return identity


def load_identity(data_dir: Path) -> DeviceIdentity:
    """Read the keys back; raises `IdentityInvalid` naming the mend."""
    path = data_dir / KEY_FILE
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return DeviceIdentity(
            raw["agent_id"],
            raw["camera_id"],
            Ed25519PrivateKey.from_private_bytes(_bytes(raw["signing"])),
            X25519PrivateKey.from_private_bytes(_bytes(raw["sealing"])),
            _bytes(raw["store_key"]),
            _bytes(raw["id_key"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        raise IdentityInvalid(
            f"agent.data_dir {data_dir}: no readable {KEY_FILE}; run 'sightline-agent init'"
        ) from None


def controller_key(text_b64: str) -> Ed25519PublicKey:
    """Read the controller's public signing key from the configuration."""
    try:
        return Ed25519PublicKey.from_public_bytes(_bytes(text_b64))
    except ValueError:
        raise IdentityInvalid(
            "controller.signing_public_b64: not a 32-byte key in base64; "
            "copy it from the controller's controller.pub.json"
        ) from None


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
