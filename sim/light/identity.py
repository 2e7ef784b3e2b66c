"""Identities of light agents, all derived from one fleet secret so that nothing else is stored."""

import base64
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from sim.errors import SimError
from wire.signing import public_bytes

_SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class LightIdentity:
    """Who one light agent is: its ids and its private keys."""

    agent_id: str
    camera_id: str
    signing: Ed25519PrivateKey
    sealing: X25519PrivateKey
    device_secret: bytes

    @classmethod
    def derive(cls, fleet_secret: bytes, number: int) -> "LightIdentity":
        """Derive the identity of one agent (1-based `number`) from the 32-byte fleet secret."""
        agent_id = f"light-{number:03d}"
        return cls(
            agent_id=agent_id,
            camera_id=f"lcam-{number:03d}",
            signing=Ed25519PrivateKey.from_private_bytes(_derive(fleet_secret, agent_id, "sign")),
            sealing=X25519PrivateKey.from_private_bytes(_derive(fleet_secret, agent_id, "seal")),
            device_secret=_derive(fleet_secret, agent_id, "ids"),
        )

    def public(self) -> dict[str, str]:
        """Return the public half, as `sightline fleet add` takes it (without a place)."""
        return {
            "agent_id": self.agent_id,
            "camera_id": self.camera_id,
            "signing_public_b64": _b64(public_bytes(self.signing.public_key())),
            "sealing_public_b64": _b64(self.sealing.public_key().public_bytes_raw()),
        }


def create_fleet_secret(path: Path) -> bytes:
    """Write a fresh fleet secret (mode 0600) and return its 32 bytes."""
    secret = secrets.token_bytes(_SECRET_BYTES)
    path.touch(mode=0o600, exist_ok=False)
    path.write_bytes(secret)
    return secret


def read_fleet_secret(path: Path) -> bytes:
    """Read a fleet secret; raises `SimError` if it is not there or not 32 bytes long."""
    try:
        secret = path.read_bytes()
    except OSError as error:
        raise SimError(f"secret_file: cannot read {path} ({error.strerror}); create it") from None
    if len(secret) != _SECRET_BYTES:
        raise SimError(f"secret_file: {path} must hold {_SECRET_BYTES} bytes; create it anew")
    return secret


def _derive(secret: bytes, agent_id: str, use: str) -> bytes:
    info = f"sightline/sim/light/{agent_id}/{use}".encode()
    return HKDF(algorithm=SHA256(), length=_SECRET_BYTES, salt=None, info=info).derive(secret)


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
