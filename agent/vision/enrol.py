"""One reference photo to one embedding: the strict reading that a case's probe needs."""

from dataclasses import dataclass
from typing import Final

from agent.errors import AgentError
from agent.vision.chain import decode_picture
from agent.vision.detector import Detector
from agent.vision.faces import Embedder, MaskClassifier
from agent.vision.quality import face_quality
from agent.vision.tracklets import mask_name
from agent.vision.types import F32, U8, Detection, MaskName

MAX_PHOTO_BYTES: Final = 20 * 1024 * 1024
MAX_PHOTO_PIXELS: Final = 50_000_000
MIN_FACE_PX: Final = 40.0
BYSTANDER_SHARE: Final = 0.25
"""Faces under this share of the largest one's height are background, not a second person."""
DETECT_THRESHOLD: Final = 0.5


class PhotoRefused(AgentError):
    """A reference photo cannot become a probe."""


@dataclass(frozen=True, slots=True)
class EnrolledFace:
    """The one face of a photo; `embedding` (192,) adapted unit vector."""

    detection: Detection
    embedding: F32
    quality: float
    mask_probability: float

    @property
    def mask_state(self) -> MaskName:
        """Name the mask state of the face."""
        return mask_name(self.mask_probability)


def enrol(data: bytes, detector: Detector, embedder: Embedder, masks: MaskClassifier
          ) -> EnrolledFace:  # fmt: skip
    """Read a photo with exactly one face; raises `PhotoRefused` naming the mend."""
    image = _read(data)
    face = _only_face(detector.detect(image, threshold=DETECT_THRESHOLD))
    probability = masks.probability(image, face.landmarks_xy)
    raw = embedder.embed(image, face.landmarks_xy)
    return EnrolledFace(
        detection=face,
        embedding=embedder.adapt(raw, mask_name(probability)),
        quality=face_quality(image, face),
        mask_probability=probability,
    )


def _read(data: bytes) -> U8:
    if len(data) > MAX_PHOTO_BYTES:
        raise PhotoRefused(f"photo: {len(data)} bytes is more than {MAX_PHOTO_BYTES}; shrink it")
    image = decode_picture(data)
    if image is None:
        raise PhotoRefused("photo: cannot be read as a picture; give a JPEG or PNG file")
    if image.shape[0] * image.shape[1] > MAX_PHOTO_PIXELS:
        raise PhotoRefused(f"photo: more than {MAX_PHOTO_PIXELS} pixels; shrink it")
    return image


def _only_face(found: list[Detection]) -> Detection:
    if not found:
        raise PhotoRefused("photo: no face found; give a photo that shows one face clearly")
    largest = max(found, key=lambda d: d.height_px)
    if largest.height_px < MIN_FACE_PX:
        raise PhotoRefused(
            f"photo: the face is {largest.height_px:.0f} px high, {MIN_FACE_PX:.0f} are needed; "
            "give a larger photo"
        )
    rivals = [d for d in found if d.height_px >= BYSTANDER_SHARE * largest.height_px]
    if len(rivals) > 1:
        raise PhotoRefused(f"photo: {len(rivals)} faces found; crop it to the one person meant")
    return largest
