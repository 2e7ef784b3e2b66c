"""The template keys that this box may hold now: in memory, and at rest only encrypted."""

import threading
from collections.abc import Mapping
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.store import Store
from wire.errors import SealInvalid
from wire.messages import KeyDelivery
from wire.sealing import open_sealed

EpochShard = tuple[int, int]
KEY_BYTES: Final = 32


class KeyRing:
    """Shard keys by epoch; the latest delivery replaces all earlier ones."""

    def __init__(self, store: Store, sealing: X25519PrivateKey) -> None:
        self._store, self._sealing = store, sealing
        self._lock = threading.Lock()
        self._keys: dict[EpochShard, bytes] = store.load_keys()

    def accept(self, delivery: KeyDelivery) -> int:
        """Open and keep the keys of a verified delivery; forget all others. Returns how many.

        Raises `SealInvalid` if one was not sealed to this box; then nothing is changed.
        """
        opened: dict[EpochShard, bytes] = {}
        for key in delivery.keys:
            label = f"{delivery.agent_id}|{key.epoch}|{key.shard}".encode()
            value = open_sealed(key.sealed, self._sealing, associated=label)
            if len(value) != KEY_BYTES:
                raise SealInvalid(f"epoch {key.epoch}: the key has {len(value)} bytes")
            opened[key.epoch, key.shard] = value
        self._store.replace_keys(opened)
        with self._lock:
            self._keys = opened
        return len(opened)

    def for_epoch(self, epoch: int) -> tuple[int, bytes] | None:
        """Return (shard, key) of an epoch, or None while it has not come."""
        with self._lock:
            held: Mapping[EpochShard, bytes] = self._keys
            found = [(shard, key) for (day, shard), key in held.items() if day == epoch]
        return found[0] if found else None
