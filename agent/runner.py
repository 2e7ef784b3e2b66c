"""One running agent: a capture thread feeds the store; the main thread serves the link."""

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.cameras.base import CameraFailed, CameraSource
from agent.cameras.latest import LatestFrame
from agent.clock import Clock
from agent.cohort import CohortCounter
from agent.errors import AgentError
from agent.keys import KeyRing
from agent.link import Link
from agent.logs import facts
from agent.models.failover import AcceleratorState
from agent.publisher import Publisher
from agent.queries import QueryDesk
from agent.store import Store
from agent.vision.chain import VisionChain
from agent.vision.types import FinishedTracklet
from wire.errors import WireError
from wire.messages import Health, KeyDelivery
from wire.signing import verify

log = logging.getLogger("agent.runner")

TICK_S: Final = 0.25
PURGE_EVERY_S: Final = 60.0
REOPEN_AFTER_S: Final = 5.0
COHORT_EVERY_S: Final = 3600.0
"""Rarely, for it is 400 KB and flash wears out; a crash loses an hour of statistics, no more."""


@dataclass(slots=True)
class CaptureState:
    """What the capture thread tells the others."""

    ended: bool = False
    last_frame_us: int | None = None
    frame_interval_s: float = 1.0
    error: AgentError | None = None
    failures_total: int = 0
    frames_dropped_total: int = 0

    def dropped(self) -> None:
        """Count one frame that came while the networks were busy."""
        self.frames_dropped_total += 1


@dataclass(slots=True)
class Runner:
    """Runs until told to stop; every part is passed in."""

    agent_id: str
    clock: Clock
    store: Store
    keys: KeyRing
    link: Link
    desk: QueryDesk
    publisher: Publisher
    cohort: CohortCounter
    make_chain: Callable[[], VisionChain]
    open_camera: Callable[[], CameraSource]
    source_is_file: bool
    controller: Ed25519PublicKey
    health_every_s: float
    ring_us: int
    store_max_bytes: int
    accelerator: AcceleratorState = field(default_factory=AcceleratorState)
    stop: threading.Event = field(default_factory=threading.Event)
    capture: CaptureState = field(default_factory=CaptureState)
    _chain: VisionChain | None = None
    _camera: CameraSource | None = None
    _started_us: int = 0

    def run(self, *, exit_when_done: bool = False) -> None:
        """Capture and serve until `stop` is set; raises the first fatal error."""
        self._started_us = self.clock.now_us()
        self.link.start()
        worker = threading.Thread(target=self._capture, name="capture", daemon=True)
        worker.start()
        try:
            self._serve(exit_when_done)
        finally:
            self.stop.set()
            if self._camera is not None:
                self._camera.close()
            worker.join(timeout=10.0)
            self.link.stop()
            self.cohort.save()
            self.store.close()

    def _serve(self, exit_when_done: bool) -> None:
        next_health = next_purge = 0.0
        next_save = time.monotonic() + COHORT_EVERY_S
        told_end = False
        while not self.stop.is_set():
            self._read_inbox()
            self.publisher.protect_waiting()
            self.publisher.spool_ready()
            self.link.pump()
            self._raise_fatal()
            now = time.monotonic()
            if now >= next_health or (self.capture.ended and not told_end and self.link.connected):
                next_health = now + self.health_every_s
                told_end = self.capture.ended
                self.link.publish_health(self._health())
            if now >= next_purge:
                next_purge = now + PURGE_EVERY_S
                before_us = self.clock.now_us() - self.ring_us
                dropped = self.store.purge(before_us=before_us, max_bytes=self.store_max_bytes)
                if dropped:
                    log.info("ring purged", extra=facts(tracklets=dropped))
            if now >= next_save:
                next_save = now + COHORT_EVERY_S
                self.cohort.save()
            if exit_when_done and self.capture.ended and self.store.spool_size()[0] == 0:
                return

    def _read_inbox(self) -> None:
        try:
            kind, payload = self.link.inbox.get(timeout=TICK_S)
        except queue.Empty:
            return
        if kind == "keys":
            self._take_keys(payload)
        elif kind == "queries":
            self.desk.frame_interval_s = self.capture.frame_interval_s
            self.desk.handle(payload)

    def _take_keys(self, payload: bytes) -> None:
        try:
            delivery = verify(KeyDelivery, payload, self.controller)
            if delivery.agent_id != self.agent_id:
                raise WireError("agent_id: the keys are for another agent")
            count = self.keys.accept(delivery)
        except WireError as error:
            log.error("keys refused", extra=facts(reason=str(error)))
            return
        log.info("keys accepted", extra=facts(count=count))

    def _raise_fatal(self) -> None:
        if self.link.fatal is not None:
            raise self.link.fatal
        if self.capture.error is not None:
            raise self.capture.error

    def _capture(self) -> None:
        try:
            self._chain = self.make_chain()
            while not self.stop.is_set():
                try:
                    self._read_camera(self._chain)
                except CameraFailed as error:
                    if self.source_is_file:
                        raise
                    self.capture.failures_total += 1
                    log.error("camera failed", extra=facts(reason=str(error)))
                    self.stop.wait(REOPEN_AFTER_S)
                    continue
                if self.source_is_file:
                    break
            if not self.stop.is_set():
                for tracklet in self._chain.flush():
                    self._keep(tracklet)
                # Told only once everything is in the store and on its way to the spool.
                self.publisher.spool_ready()
                self.capture.ended = True
                log.info("source ended", extra=facts(frames=self._chain.stats.frames_total))
        except AgentError as error:
            self.capture.error = error
        except Exception as error:
            # A thread that dies silently would look like an empty street.
            log.exception("capture broke")
            self.capture.error = AgentError(f"capture: {type(error).__name__}: {error}")

    def _read_camera(self, chain: VisionChain) -> None:
        camera = self.open_camera()
        # A recording waits for the networks; a live camera does not, so what they miss is counted.
        self._camera = camera if self.source_is_file else LatestFrame(camera, self.capture.dropped)
        for frame in self._camera.frames():
            last_us = self.capture.last_frame_us
            if last_us is not None and 0 < frame.captured_us - last_us < 10_000_000:
                self.capture.frame_interval_s = (frame.captured_us - last_us) / 1e6
            for tracklet in chain.process(frame):
                self._keep(tracklet)
            self.capture.last_frame_us = frame.captured_us
            if self.stop.is_set():
                return

    def _keep(self, tracklet: FinishedTracklet) -> None:
        self.publisher.keep(tracklet)
        self.cohort.add(tracklet)

    def _health(self) -> Health:
        batches, size = self.store.spool_size()
        stats = None if self._chain is None else self._chain.stats
        return Health(
            agent_id=self.agent_id,
            at_us=self.clock.now_us(),
            started_us=self._started_us,
            frames_total=0 if stats is None else stats.frames_total,
            frames_still_total=0 if stats is None else stats.frames_still_total,
            frames_dropped_total=self.capture.frames_dropped_total,
            faces_total=0 if stats is None else stats.faces_total,
            accelerator=self.accelerator.name,
            accelerator_working=self.accelerator.working,
            accelerator_faults_total=self.accelerator.faults_total,
            sightings_total=self.publisher.sightings_total,
            last_frame_us=self.capture.last_frame_us,
            spool_batches=batches,
            spool_bytes=size,
            store_bytes=self.store.store_bytes(),
            source_ended=self.capture.ended,
        )
