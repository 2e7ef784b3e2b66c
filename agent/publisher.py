"""From finished tracklets to the store and the spool."""

import logging
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Final
from uuid import UUID

from agent.clock import Clock
from agent.identity import DeviceIdentity
from agent.keys import KeyRing
from agent.logs import facts
from agent.records import StoredTracklet, from_finished
from agent.store import LOCAL, NO_KEY, READY, Store
from agent.vision.types import FinishedTracklet
from wire import limits
from wire.ids import derived_uuid7
from wire.messages import MaskState, Sighting, SightingBatch
from wire.protection import protect, template_to_bytes
from wire.signing import sign
from wire.times import epoch_of_us
from wire.topics import agent_topic

log = logging.getLogger("agent.publisher")
MAX_ROUND: Final = 512


class Publisher:
    """Protects, stores and batches tracklets; every step survives a crash and can be repeated."""

    def __init__(
        self, *, identity: DeviceIdentity, store: Store, keys: KeyRing, clock: Clock,
        space_id: str, variant: str, quality_floor: float, spool_max_bytes: int,
    ) -> None:  # fmt: skip
        self._identity, self._store, self._keys, self._clock = identity, store, keys, clock
        self._space_id, self._variant = space_id, variant
        self._quality_floor, self._spool_max_bytes = quality_floor, spool_max_bytes
        self.sightings_total = 0
        # Capture and main thread both publish: reading what is ready and marking it as spooled
        # belong together, or a tracklet would be batched twice.
        self._lock = threading.Lock()

    def keep(self, tracklet: FinishedTracklet) -> UUID:
        """Store a finished tracklet, protected at once if its epoch's key is here."""
        label = f"{tracklet.camera_id}|{tracklet.start_us}|{tracklet.end_us}|{tracklet.ordinal}"
        tracklet_id = derived_uuid7(
            unix_ms=tracklet.start_us // 1000, secret=self._identity.id_key, label=label
        )
        epoch = epoch_of_us(tracklet.start_us)
        held = self._keys.for_epoch(epoch)
        shard, template = None, None
        if held is not None:
            shard = held[0]
            template = template_to_bytes(protect(tracklet.embedding[None], held[1])[0])
        stored = from_finished(
            tracklet, tracklet_id=tracklet_id, epoch=epoch, shard=shard, template=template
        )
        state = NO_KEY if template is None else self._state_of(stored)
        if self._store.add_tracklet(stored, state):
            log.info("tracklet", extra=facts(id=str(tracklet_id), state=state,
                                             faces=stored.face_count))  # fmt: skip
        return tracklet_id

    def protect_waiting(self) -> int:
        """Protect tracklets whose key has come since; the raw embedding goes. Counts them."""
        done = 0
        for stored in self._store.in_state(NO_KEY, MAX_ROUND):
            held = self._keys.for_epoch(stored.epoch)
            if held is None:
                continue
            template = template_to_bytes(protect(stored.embedding()[None], held[1])[0])
            ready = replace(stored, shard=held[0], template=template, raw_embedding=None)
            self._store.update_tracklet(ready, self._state_of(ready))
            done += 1
        return done

    def spool_ready(self) -> int:
        """Batch what is ready, one shard to a batch; beyond the spool's limit it waits.

        Returns the number of sightings spooled.
        """
        done = 0
        with self._lock:
            while self._store.spool_size()[1] < self._spool_max_bytes:
                ready = self._store.in_state(READY, limits.MAX_SIGHTINGS_PER_BATCH)
                if not ready:
                    break
                batch = [t for t in ready if t.shard == ready[0].shard]
                self._spool(batch)
                done += len(batch)
            self.sightings_total += done
        return done

    def _spool(self, batch: Sequence[StoredTracklet]) -> None:
        def make(seq: int) -> bytes:
            message = SightingBatch(
                agent_id=self._identity.agent_id,
                spool_id=self._store.spool_ids["sightings"],
                seq=seq,
                sent_us=self._clock.now_us(),
                camera_id=self._identity.camera_id,
                shard=batch[0].shard or 0,
                space_id=self._space_id,
                variant=self._variant,
                sightings=tuple(_sighting(t) for t in batch),
            )
            return sign(message, self._identity.signing)

        topic = agent_topic(self._identity.agent_id, "sightings")
        self._store.spool("sightings", topic, make, tuple(t.id for t in batch))

    def _state_of(self, stored: StoredTracklet) -> str:
        return READY if stored.quality >= self._quality_floor else LOCAL


def _sighting(stored: StoredTracklet) -> Sighting:
    return Sighting(
        id=stored.id,
        epoch=stored.epoch,
        start_us=stored.start_us,
        end_us=stored.end_us,
        time_uncertainty_s=stored.time_uncertainty_s,
        template=stored.template or b"",
        mask_state=MaskState(stored.mask_state),
        mask_probability=stored.mask_probability,
        quality=stored.quality,
        face_count=stored.face_count,
    )
