"""What the local store keeps of a tracklet, as CBOR inside an encrypted row."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import cbor2
import numpy as np

from agent.vision.types import FinishedTracklet, KeyFrame, MaskStretch, PathSample


@dataclass(frozen=True, slots=True)
class StoredTracklet:
    """A tracklet at rest. Either `template` (protected) or, until a key comes, `raw_embedding`."""

    id: UUID
    camera_id: str
    start_us: int
    end_us: int
    time_uncertainty_s: float
    epoch: int
    shard: int | None
    template: bytes | None
    raw_embedding: bytes | None
    mask_state: str
    mask_probability: float
    quality: float
    face_count: int
    path: tuple[PathSample, ...]
    masks: tuple[MaskStretch, ...]
    key_frames: tuple[KeyFrame, ...]

    def embedding(self) -> np.ndarray:
        """Return the raw (192,) embedding of a tracklet that still waits for its key."""
        return np.frombuffer(self.raw_embedding or b"", np.float32)


def from_finished(
    tracklet: FinishedTracklet, *, tracklet_id: UUID, epoch: int,
    shard: int | None, template: bytes | None,
) -> StoredTracklet:  # fmt: skip
    """Make the stored form; the raw embedding is only kept while there is no template."""
    raw = None if template is not None else tracklet.embedding.astype(np.float32).tobytes()
    return StoredTracklet(
        tracklet_id, tracklet.camera_id, tracklet.start_us, tracklet.end_us,
        tracklet.time_uncertainty_s, epoch, shard, template, raw, tracklet.mask_state,
        tracklet.mask_probability, tracklet.quality, tracklet.face_count,
        tracklet.path, tracklet.masks, tracklet.key_frames,
    )  # fmt: skip


def to_bytes(stored: StoredTracklet) -> bytes:
    """Encode a stored tracklet."""
    return bytes(cbor2.dumps({
        "id": stored.id.bytes, "camera_id": stored.camera_id,
        "start_us": stored.start_us, "end_us": stored.end_us,
        "time_uncertainty_s": stored.time_uncertainty_s,
        "epoch": stored.epoch, "shard": stored.shard,
        "template": stored.template, "raw_embedding": stored.raw_embedding,
        "mask_state": stored.mask_state, "mask_probability": stored.mask_probability,
        "quality": stored.quality, "face_count": stored.face_count,
        "path": [[p.offset_ms, p.x_m, p.y_m, p.noise_sd_m] for p in stored.path],
        "masks": [[m.offset_ms, m.state, m.probability] for m in stored.masks],
        "key_frames": [
            [k.captured_us, k.jpeg, list(k.subject_bbox_xyxy),
             [list(b) for b in k.other_bboxes_xyxy], [list(p) for p in k.landmarks_xy]]
            for k in stored.key_frames
        ],
    }))  # fmt: skip


def from_bytes(data: bytes) -> StoredTracklet:
    """Decode a stored tracklet."""
    raw: dict[str, Any] = cbor2.loads(data)
    raw["id"] = UUID(bytes=raw["id"])
    raw["path"] = tuple(PathSample(*p) for p in raw["path"])
    raw["masks"] = tuple(MaskStretch(*m) for m in raw["masks"])
    raw["key_frames"] = tuple(
        KeyFrame(at, jpeg, tuple(box), tuple(tuple(b) for b in others),
                 tuple(tuple(p) for p in points))
        for at, jpeg, box, others, points in raw["key_frames"]
    )  # fmt: skip
    return StoredTracklet(**raw)
