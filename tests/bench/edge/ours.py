"""Our whole vision chain with the agent's default settings, in a process of its own.

`python -m tests.bench.edge.ours EMBED_EVERY PASSES FILE...`: 5 is what an agent does (a face is
embedded in every fifth of its frames, and when it is clearly better than before), 1 embeds every
face in every frame, as the peers do.
"""

import sys
from collections.abc import Callable
from itertools import count
from typing import Any

import cv2

from agent.models.pack import load_pack
from agent.models.runtime import runtime_name
from agent.vision import chain
from agent.vision.build import VisionSettings, build_detector, build_embedder, build_masks
from agent.vision.detector import Detector
from agent.vision.tracker import Tracker
from agent.vision.types import U8, Detection, Frame
from tests.bench.edge.frames import FRAME_US
from tests.bench.edge.measure import Box, Watch, Work, main_of


class Listening:
    """A detector that remembers what it found last."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self.found: list[Detection] = []

    def detect(self, image_rgb: U8, *, threshold: float) -> list[Detection]:
        """Return the faces of a picture."""
        self.found = self._detector.detect(image_rgb, threshold=threshold)
        return self.found


def make(embed_every: int, watch: Watch) -> tuple[Callable[[], Work], dict[str, Any]]:
    """Load the networks; return what begins a chain, and notes."""
    cv2.setNumThreads(1)
    vars(chain)["EMBED_EVERY"] = embed_every
    pack, settings = load_pack(), VisionSettings()
    detector = Listening(build_detector(pack, settings))
    embedder, masks = build_embedder(pack, settings), build_masks(pack, settings)
    for owner, attribute, stage in (
        (detector, "detect", "detect"), (Tracker, "update", "track"),
        (chain, "face_quality", "quality"), (embedder, "embed", "embed"),
        (masks, "probability", "mask"), (chain, "encode_jpeg", "key frame"),
    ):  # fmt: skip
        watch.wrap(owner, attribute, stage)

    def begin() -> Work:
        whole = chain.VisionChain(
            camera_id="bench", detector=detector, embedder=embedder, masks=masks, calibration=None
        )
        return _work(whole, detector)

    return begin, {
        "runtime": runtime_name(), "detector": settings.detector, "embedder": settings.embedder,
        "mirror": settings.mirror, "threads": settings.threads, "embed_every": embed_every,
    }  # fmt: skip


def _work(whole: chain.VisionChain, detector: Listening) -> Work:
    """Return the work of one chain; only faces that may start a track count as found."""
    numbers = count()

    def work(image: Any) -> list[Box]:
        index = next(numbers)
        whole.process(Frame(image, 1_700_000_000_000_000 + index * FRAME_US, 0.1, index))
        return [d.box for d in detector.found if d.score >= chain.START_THRESHOLD]

    return work


if __name__ == "__main__":
    every = int(sys.argv.pop(1))
    main_of(lambda watch: make(every, watch), ("ai-edge-litert", "opencv-python-headless", "numpy"))
