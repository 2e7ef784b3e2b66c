"""Redaction of a whole recording: one person is kept, everything else is filled.

Fails closed: a frame in which the person is not surely recognised is filled wholly, and a region
that held another face in the frame before or after is filled too, so that no face shows for the
one frame in which the detector missed it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import numpy as np

from agent.cameras.base import CameraSource
from agent.errors import AgentError
from agent.vision.detector import Detector
from agent.vision.redact import (
    FILL_RGB,
    UNSURE_THRESHOLD,
    RedactionRefused,
    keep_only_box,
)
from agent.vision.tracklets import other_boxes
from agent.vision.types import U8, Box, Detection, Frame

TIME_BASE: Final = Fraction(1, 1000)
MAX_FRAMES: Final = 1_000_000


@dataclass(slots=True)
class VideoReport:
    """What became of a recording; similarities are those of the shown faces with the photo."""

    frames: int = 0
    frames_shown: int = 0
    others_filled: int = 0
    least_similarity: float | None = None
    mean_similarity: float | None = None

    def showed(self, similarity: float, others: int) -> None:
        """Count a frame that shows the person."""
        total = (self.mean_similarity or 0.0) * self.frames_shown + similarity
        self.frames_shown += 1
        self.mean_similarity = total / self.frames_shown
        self.least_similarity = min(self.least_similarity or 1.0, similarity)
        self.others_filled += others


@dataclass(frozen=True, slots=True)
class _Looked:
    frame: Frame
    found: list[Detection]
    subject: Detection | None
    similarity: float

    @property
    def others(self) -> list[Box]:
        return [d.box for d in self.found if d is not self.subject]


def redact_video(
    source: CameraSource, target: Path, *, detector: Detector,
    similarity_of: Callable[[U8, Detection], float], min_similarity: float,
) -> VideoReport:  # fmt: skip
    """Write a redacted H.264 copy of a recording; it appears under its name when complete."""
    report = VideoReport()
    partial = target.with_suffix(".part.mp4")
    looked = (_look(f, detector, similarity_of, min_similarity) for f in source.frames())
    with av.open(str(partial), "w") as container:
        stream = None
        first_us = 0
        for before, now, after in _with_neighbours(looked):
            picture = _shown(before, now, after, report)
            if stream is None:
                first_us = now.frame.captured_us
                stream = container.add_stream("libx264", rate=25, options={"crf": "20"})
                stream.height, stream.width = picture.shape[0] & ~1, picture.shape[1] & ~1
                stream.pix_fmt = "yuv420p"
                stream.time_base = stream.codec_context.time_base = TIME_BASE
            even = np.ascontiguousarray(picture[: stream.height, : stream.width])
            out = av.VideoFrame.from_ndarray(even, format="rgb24")
            out.pts = (now.frame.captured_us - first_us) // 1000
            out.time_base = TIME_BASE
            container.mux(stream.encode(out))
        if stream is None:
            raise AgentError(f"video {target.name}: holds no frame; give a recording")
        container.mux(stream.encode())
    partial.replace(target)
    return report


def _look(
    frame: Frame, detector: Detector, similarity_of: Callable[[U8, Detection], float],
    min_similarity: float,
) -> _Looked:  # fmt: skip
    if frame.index >= MAX_FRAMES:
        raise AgentError(f"video: more than {MAX_FRAMES} frames; cut it into parts")
    found = detector.detect(frame.image_rgb, threshold=UNSURE_THRESHOLD)
    scored = [(similarity_of(frame.image_rgb, d), d) for d in found]
    similarity, subject = max(scored, key=lambda pair: pair[0], default=(-1.0, None))
    sure = subject is not None and similarity >= min_similarity
    return _Looked(frame, found, subject if sure else None, similarity)


def _with_neighbours(
    looked: Iterator[_Looked],
) -> Iterator[tuple[_Looked | None, _Looked, _Looked | None]]:
    before: _Looked | None = None
    now = next(looked, None)
    while now is not None:
        after = next(looked, None)
        yield before, now, after
        before, now = now, after


def _shown(before: _Looked | None, now: _Looked, after: _Looked | None, report: VideoReport) -> U8:
    report.frames += 1
    filled = np.empty_like(now.frame.image_rgb)
    filled[:] = FILL_RGB
    if now.subject is None:
        return filled
    held = [b for n in (before, after) if n is not None for b in n.others]
    others = [*now.others, *other_boxes(held, now.subject.box)]
    try:
        shown = keep_only_box(now.frame.image_rgb, now.subject, others)
    except RedactionRefused:
        return filled
    report.showed(now.similarity, len(now.others))
    return shown
