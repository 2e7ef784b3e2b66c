"""What queried agents revealed, put into the domain's terms."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol
from uuid import UUID

import numpy as np

from controller.domain.match import Calibration
from controller.domain.types import F32, CameraView, Candidate, MaskMoment, PersonTrack
from controller.services.asking import Answer
from controller.services.enrolment import Enrolment
from controller.services.match import best_llr
from controller.services.refusals import Refusal
from controller.services.values import Agent
from wire.messages import LookbackBody, TrackletReport
from wire.protection import I8, dequantise, template_from_bytes

_LOG: Final = logging.getLogger(__name__)


class Frames(Protocol):
    """The key service as the views need it."""

    def rotate_probe(self, case_id: UUID, embeddings: F32, *, epoch: int, shard: int) -> I8:
        """Protect probes for one epoch and shard."""

    def to_case_frame(self, case_id: UUID, templates: I8, *, epoch: int, shard: int) -> F32:
        """Bring templates into the case's own frame."""


class Views:
    """Turns lookback bodies into camera views and further candidates.

    An agent's word is checked: similarity is computed again here from the template, and a
    tracklet counts as the subject's only if the trace accepts it.
    """

    def __init__(self, case_id: UUID, frames: Frames, agents: Mapping[str, Agent]) -> None:
        self._case_id = case_id
        self._frames = frames
        self._agents = agents

    def candidates(
        self, answers: Sequence[Answer], probes: Sequence[Enrolment], calibration: Calibration
    ) -> list[Candidate]:
        """Return the tracklets that agents hold for the subject's, with their evidence."""
        found: dict[UUID, Candidate] = {}
        for camera_id, tracklet in _tracklets(answers):
            if not tracklet.is_subject or tracklet.tracklet_id in found:
                continue
            candidate = self._candidate(camera_id, tracklet, probes, calibration)
            if candidate is not None:
                found[candidate.sighting_id] = candidate
        return list(found.values())

    def views(
        self, answers: Sequence[Answer], accepted: frozenset[UUID], *, not_before_us: int
    ) -> list[CameraView]:
        """Return one view per camera in which the subject was accepted."""
        bodies: dict[str, list[LookbackBody]] = {}
        for answer in answers:
            for body in answer.lookbacks:
                if body.camera_id == answer.query.camera_id:
                    bodies.setdefault(body.camera_id, []).append(body)
        views = [
            self._view(camera_id, parts, accepted, not_before_us)
            for camera_id, parts in sorted(bodies.items())
        ]
        return [view for view in views if any(track.is_subject for track in view.tracks)]

    def _view(
        self, camera_id: str, parts: Sequence[LookbackBody], accepted: frozenset[UUID],
        not_before_us: int,
    ) -> CameraView:  # fmt: skip
        tracklets = {t.tracklet_id: t for body in parts for t in body.tracklets}
        first = parts[0]
        return CameraView(
            camera_id=camera_id,
            camera_height_m=first.camera_height_m,
            head_height_m=first.head_height_m,
            head_height_sd_m=first.head_height_sd_m,
            frame_interval_s=max(first.frame_interval_s, 1e-3),
            tracks=tuple(
                self._track(camera_id, t, t.tracklet_id in accepted)
                for t in tracklets.values()
                if t.end_us >= not_before_us
            ),
        )

    def _track(self, camera_id: str, tracklet: TrackletReport, is_subject: bool) -> PersonTrack:
        points = sorted(tracklet.path, key=lambda point: point.offset_ms)
        return PersonTrack(
            tracklet_id=tracklet.tracklet_id,
            is_subject=is_subject,
            start_us=tracklet.start_us,
            end_us=tracklet.end_us,
            times_us=np.array(
                [tracklet.start_us + point.offset_ms * 1_000 for point in points], np.int64
            ),
            places_m=np.array([(p.x_mm / 1e3, p.y_mm / 1e3) for p in points]).reshape(-1, 2),
            noise_sd_m=np.array([p.noise_sd_mm / 1e3 for p in points]),
            masks=tuple(
                MaskMoment(tracklet.start_us + span.offset_ms * 1_000, span.state.value)
                for span in sorted(tracklet.masks, key=lambda span: span.offset_ms)
            ),
            template=self._case_template(camera_id, tracklet),
            quality=tracklet.quality,
        )

    def _case_template(self, camera_id: str, tracklet: TrackletReport) -> F32 | None:
        if not self._own_shard(camera_id, tracklet):
            return None
        template = template_from_bytes(tracklet.template)[None]
        try:
            frame = self._frames.to_case_frame(
                self._case_id, template, epoch=tracklet.epoch, shard=tracklet.shard
            )
        except Refusal as refusal:
            _LOG.warning("event=template_not_usable camera=%s why=%s", camera_id, refusal)
            return None
        return np.asarray(frame[0], np.float32)

    def _candidate(
        self, camera_id: str, tracklet: TrackletReport, probes: Sequence[Enrolment],
        calibration: Calibration,
    ) -> Candidate | None:  # fmt: skip
        if not self._own_shard(camera_id, tracklet):
            return None
        embeddings = np.stack([probe.embedding for probe in probes])
        try:
            rotated = self._frames.rotate_probe(
                self._case_id, embeddings, epoch=tracklet.epoch, shard=tracklet.shard
            )
        except Refusal as refusal:
            _LOG.warning("event=template_not_usable camera=%s why=%s", camera_id, refusal)
            return None
        own = dequantise(template_from_bytes(tracklet.template)[None])[0]
        cosines = [float(value) for value in dequantise(rotated) @ own]
        mask_state = _longest_state(tracklet)
        similarity, llr = best_llr(cosines, probes, mask_state, calibration)
        return Candidate(
            sighting_id=tracklet.tracklet_id,
            camera_id=camera_id,
            start_us=tracklet.start_us,
            end_us=tracklet.end_us,
            time_uncertainty_s=tracklet.time_uncertainty_s,
            similarity=similarity,
            llr=llr,
            mask_state=mask_state,
            quality=tracklet.quality,
        )

    def _own_shard(self, camera_id: str, tracklet: TrackletReport) -> bool:
        agent = self._agents.get(camera_id)
        return agent is not None and agent.shard == tracklet.shard


def _tracklets(answers: Sequence[Answer]) -> Iterable[tuple[str, TrackletReport]]:
    for answer in answers:
        for body in answer.lookbacks:
            # An agent speaks for its own camera only.
            if body.camera_id == answer.query.camera_id:
                for tracklet in body.tracklets:
                    yield body.camera_id, tracklet


def _longest_state(tracklet: TrackletReport) -> str:
    if not tracklet.masks:
        return "unsure"
    spans = sorted(tracklet.masks, key=lambda span: span.offset_ms)
    last_ms = (tracklet.end_us - tracklet.start_us) // 1_000
    ends = [span.offset_ms for span in spans[1:]] + [max(last_ms, spans[-1].offset_ms + 1)]
    lengths: dict[str, int] = {}
    for span, end_ms in zip(spans, ends, strict=True):
        lengths[span.state.value] = lengths.get(span.state.value, 0) + end_ms - span.offset_ms
    return max(sorted(lengths), key=lambda state: lengths[state])
