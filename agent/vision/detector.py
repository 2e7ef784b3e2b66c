"""What the chain asks of a face detector."""

from typing import Protocol

from agent.vision.types import U8, Detection


class Detector(Protocol):
    """Find faces in a picture."""

    def detect(self, image_rgb: U8, *, threshold: float) -> list[Detection]:
        """Return the faces of an (h, w, 3) RGB picture with at least this score."""
        ...
