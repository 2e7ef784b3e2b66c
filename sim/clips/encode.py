"""Write frames as an H.264 file whose timestamps are the seconds of the scene."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray

TIME_BASE: Final = Fraction(1, 1000)


def encode(
    path: Path, frames: Iterable[tuple[int, NDArray[np.uint8]]], size_wh: tuple[int, int]
) -> None:
    """Write (second, RGB picture) pairs; the file appears under its name only when complete."""
    partial = path.with_suffix(".part.mp4")
    with av.open(str(partial), "w") as container:
        stream = container.add_stream(
            "libx264", rate=1, options={"crf": "26", "preset": "veryfast", "g": "30"}
        )
        stream.time_base = TIME_BASE
        stream.codec_context.time_base = TIME_BASE
        stream.width, stream.height = size_wh
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for second, picture in frames:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = second * 1000, TIME_BASE
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    partial.rename(path)
