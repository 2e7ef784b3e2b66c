"""Checks of evidence pictures: what is filled with one colour, and whose face is left."""

import base64
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from sim.demo.processes import run_command
from sim.demo.truth import Box
from sim.errors import SimError

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]

_JPEG_TOLERANCE: Final = 12
_BIN: Final = 16


@dataclass(frozen=True, slots=True)
class Redacted:
    """A decoded evidence picture and, per pixel, whether it has the fill colour."""

    filled: NDArray[np.bool_]

    def solid_share(self, box: Box) -> float:
        """Return the share of the box's pixels that are filled; 1.0 outside the picture."""
        height, width = self.filled.shape
        x0, y0 = max(0, int(np.floor(box[0]))), max(0, int(np.floor(box[1])))
        x1, y1 = min(width, int(np.ceil(box[2]))), min(height, int(np.ceil(box[3])))
        inside = self.filled[y0:y1, x0:x1]
        return float(inside.mean()) if inside.size else 1.0


def read_redacted(jpeg: bytes) -> Redacted:
    """Decode a picture and find its fill colour: the one that most of its pixels have."""
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise SimError("evidence: a picture cannot be decoded as JPEG")
    colour = _commonest(np.asarray(image, dtype=np.uint8))
    distance = np.abs(image.astype(np.int16) - colour.astype(np.int16)).max(axis=2)
    return Redacted(distance <= _JPEG_TOLERANCE)


def embed(picture: bytes) -> F32:
    """Embed the one face of a picture with the agent's own command; (192,) unit vector.

    Raises `SimError` with the command's own line when there is not exactly one face.
    """
    command = [sys.executable, "-m", "agent.cli", "vision", "embed", "-"]
    answer = json.loads(run_command(command, stdin=picture))
    vector = np.frombuffer(base64.b64decode(answer["embedding_b64"]), dtype="<f4")
    return np.asarray(vector, dtype=np.float32)


def embed_file(path: Path) -> F32:
    """Embed the one face of a photo file."""
    return embed(path.read_bytes())


def _commonest(image: U8) -> U8:
    bins = (image // _BIN).astype(np.int32)
    keys = (bins[..., 0] * 16 + bins[..., 1]) * 16 + bins[..., 2]
    commonest = np.bincount(keys.ravel(), minlength=4096).argmax()
    members = image.reshape(-1, 3)[keys.ravel() == commonest]
    return np.asarray(np.median(members, axis=0), dtype=np.uint8)
