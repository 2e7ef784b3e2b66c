"""The one holder of template keys: deliveries to agents, and rotations for an approved case."""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Protocol
from uuid import UUID

import numpy as np
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

from controller.services.refusals import NotFound
from controller.services.stores import EpochKeyStore, Sealer
from controller.services.values import Agent, Case
from wire.messages import KeyDelivery, SealedEpochKey
from wire.protection import DIMENSION, F32, I8, dequantise, derive_shard_key, protect, rotation
from wire.sealing import seal
from wire.times import epoch_of_us

_LOG: Final = logging.getLogger(__name__)
_DAYS_BACK: Final = 1
_DAYS_AHEAD: Final = 3


class CaseGuard(Protocol):
    """Says whether a case may be worked on now, and gives its key."""

    def require_active(self, case_id: UUID) -> Case:
        """Return an approved, open, unexpired case; raises `Refusal` otherwise."""

    def case_key(self, case: Case) -> bytes:
        """Return the case's 32-byte key."""


class KeyService:
    """Makes, delivers, uses and destroys epoch keys; nothing else in the controller sees one."""

    def __init__(
        self, store: EpochKeyStore, sealer: Sealer, guard: CaseGuard, now_us: Callable[[], int]
    ) -> None:
        self._store = store
        self._sealer = sealer
        self._guard = guard
        self._now_us = now_us
        self._lock = threading.Lock()
        self._unwrapped: dict[int, bytes] = {}

    def ensure_epochs(self) -> Sequence[int]:
        """Make the keys of yesterday to three days ahead that do not exist; return those epochs."""
        today = epoch_of_us(self._now_us())
        epochs = range(today - _DAYS_BACK, today + _DAYS_AHEAD + 1)
        with self._lock:
            known = self._store.epoch_keys()
            for epoch in epochs:
                if epoch not in known:
                    wrapped = self._sealer.wrap(
                        self._sealer.new_key(), label=epoch_key_label(epoch)
                    )
                    self._store.add_epoch_key(epoch, wrapped, self._now_us())
        return list(epochs)

    def delivery_for(self, agent: Agent) -> KeyDelivery:
        """Return the shard keys that an agent may hold now, each sealed to its device."""
        return next(iter(self.deliveries([agent])))

    def deliveries(self, agents: Iterable[Agent]) -> Iterator[KeyDelivery]:
        """Yield each agent's delivery; the epochs are looked at once for all of them."""
        now_us, epochs = self._now_us(), self.ensure_epochs()
        for agent in agents:
            entries = tuple(self._sealed_key(agent, epoch) for epoch in epochs)
            yield KeyDelivery(agent_id=agent.agent_id, issued_us=now_us, keys=entries)

    def rotate_probe(
        self, case_id: UUID, embeddings: NDArray[np.floating], *, epoch: int, shard: int
    ) -> I8:
        """Protect (n, 192) probe embeddings for one epoch and shard, for an active case only."""
        self._guard.require_active(case_id)
        return protect(embeddings, self._shard_key(epoch, shard))

    def rotate_exactly(
        self, case_id: UUID, embeddings: F32, parts: Sequence[tuple[int, int]]
    ) -> list[F32]:
        """Rotate (n, 192) embeddings for several (epoch, shard), not quantised, for a search here.

        For an active case only; asked once for all parts, so give few parts at a time.
        """
        self._guard.require_active(case_id)
        return [
            np.asarray(embeddings @ rotation(self._shard_key(epoch, shard)).T, np.float32)
            for epoch, shard in parts
        ]

    def to_case_frame(self, case_id: UUID, templates: I8, *, epoch: int, shard: int) -> F32:
        """Turn (n, 192) templates into (n, 192) unit vectors that compare inside one case only.

        The epoch's rotation is undone and the case's own put in its place, so that two days or
        shards can be linked without a raw embedding leaving this service.
        """
        case = self._guard.require_active(case_id)
        plain = dequantise(templates.reshape(-1, DIMENSION)) @ rotation(
            self._shard_key(epoch, shard)
        )
        rotated = plain @ rotation(_frame_key(self._guard.case_key(case))).T
        return np.asarray(rotated, dtype=np.float32)

    def known_epochs(self) -> frozenset[int]:
        """Return the epochs that have a key."""
        return frozenset(self._store.epoch_keys())

    def destroy(self, epoch: int) -> None:
        """Destroy an epoch's key: its templates mean nothing to anybody from now on."""
        with self._lock:
            self._store.drop_epoch_key(epoch)
            self._unwrapped.pop(epoch, None)
        _LOG.info("event=epoch_key_destroyed epoch=%d", epoch)

    def destroy_before(self, epoch: int) -> Sequence[int]:
        """Destroy the keys of all epochs before this one; return which."""
        old = sorted(one for one in self._store.epoch_keys() if one < epoch)
        for one in old:
            self.destroy(one)
        return old

    def _sealed_key(self, agent: Agent, epoch: int) -> SealedEpochKey:
        associated = f"{agent.agent_id}|{epoch}|{agent.shard}".encode()
        sealed = seal(
            self._shard_key(epoch, agent.shard), agent.sealing_public, associated=associated
        )
        return SealedEpochKey(epoch=epoch, shard=agent.shard, sealed=sealed)

    def _shard_key(self, epoch: int, shard: int) -> bytes:
        return derive_shard_key(self._epoch_key(epoch), epoch=epoch, shard=shard)

    def _epoch_key(self, epoch: int) -> bytes:
        with self._lock:
            # At most retention + 3 keys, so no limit of its own is needed.
            if epoch not in self._unwrapped:
                wrapped = self._store.epoch_keys().get(epoch)
                if wrapped is None:
                    raise NotFound("epoch", f"day {epoch} has no key: it is past retention")
                self._unwrapped[epoch] = self._sealer.unwrap(wrapped, label=epoch_key_label(epoch))
            return self._unwrapped[epoch]


def epoch_key_label(epoch: int) -> str:
    """Return what an epoch's wrapped key is bound to."""
    return f"epoch_key|{epoch}"


def _frame_key(case_key: bytes) -> bytes:
    info = b"sightline/v1/case-frame"
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(case_key)
