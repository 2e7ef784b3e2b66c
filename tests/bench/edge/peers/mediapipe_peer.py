"""MediaPipe's face detector; it only detects.

`python -m tests.bench.edge.peers.mediapipe_peer short|full PASSES FILE...`: the short-range network
(faces within 2 m) or the full-range one (within 5 m).
"""

# mypy: disable-error-code="import-not-found, import-untyped, no-any-return"

import importlib
import sys
from collections.abc import Callable
from typing import Any

from tests.bench.edge.measure import Box, Watch, Work, main_of


def make(reach: str, watch: Watch) -> tuple[Callable[[], Work], dict[str, Any]]:
    """Load the network; return what begins the work, and notes."""
    solutions = importlib.import_module("mediapipe").solutions
    # 0.5 is its default confidence.
    finder = solutions.face_detection.FaceDetection(model_selection=int(reach == "full"))

    def work(image: Any) -> list[Box]:
        height, width = image.shape[:2]
        with watch.stage("detect"):
            found = finder.process(image).detections or []
        places = [d.location_data.relative_bounding_box for d in found]
        return [
            (p.xmin * width, p.ymin * height, (p.xmin + p.width) * width,
             (p.ymin + p.height) * height)
            for p in places
        ]  # fmt: skip

    return lambda: work, {"range": reach, "min_confidence": 0.5}


if __name__ == "__main__":
    wanted = sys.argv.pop(1)
    main_of(lambda watch: make(wanted, watch), ("mediapipe", "numpy"))
