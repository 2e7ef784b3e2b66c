"""dlib as face_recognition runs it: HOG detector, 5 landmarks, ResNet; one face at a time.

`python -m tests.bench.edge.peers.dlib_peer UPSAMPLE PASSES FILE...`: upsampling once finds faces
from 40 pixels (face_recognition's default), never from 80.
"""

# mypy: disable-error-code="import-not-found, import-untyped, no-any-return"

import importlib
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.bench.edge.measure import Box, Watch, Work, main_of


def make(upsample: int, watch: Watch) -> tuple[Callable[[], Work], dict[str, Any]]:
    """Load the networks; return what begins the work, and notes."""
    dlib = importlib.import_module("dlib")
    # The package itself cannot be imported without an old setuptools; its files can be found.
    spec = find_spec("face_recognition_models")
    if spec is None or spec.origin is None:
        raise SystemExit("face_recognition_models is not installed")
    folder = Path(spec.origin).parent / "models"
    detector = dlib.get_frontal_face_detector()
    landmarks = dlib.shape_predictor(str(folder / "shape_predictor_5_face_landmarks.dat"))
    resnet = dlib.face_recognition_model_v1(
        str(folder / "dlib_face_recognition_resnet_model_v1.dat")
    )

    def work(image: Any) -> list[Box]:
        with watch.stage("detect"):
            found = detector(image, upsample)
        for box in found:
            with watch.stage("landmarks"):
                shape = landmarks(image, box)
            with watch.stage("embed"):
                resnet.compute_face_descriptor(image, shape, 1)
        return [(b.left(), b.top(), b.right(), b.bottom()) for b in found]

    built = {"avx": bool(dlib.USE_AVX_INSTRUCTIONS), "blas": bool(dlib.DLIB_USE_BLAS)}
    return lambda: work, {"upsample": upsample, "built_with": built}


if __name__ == "__main__":
    level = int(sys.argv.pop(1))
    main_of(lambda watch: make(level, watch), ("dlib-bin", "face_recognition_models", "numpy"))
