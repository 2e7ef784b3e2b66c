"""What a reference photo becomes: a probe, and its encrypted form."""

import json
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Enrolment:
    """The probe of one photo; `embedding` is (192,) float32, adapted, of unit length."""

    embedding: NDArray[np.float32]
    space_id: str
    variant: str
    mask_state: str
    mask_probability: float
    quality: float

    def to_bytes(self) -> bytes:
        """Return a form that `from_bytes` reads back; keep it only encrypted."""
        facts = {
            "space_id": self.space_id,
            "variant": self.variant,
            "mask_state": self.mask_state,
            "mask_probability": self.mask_probability,
            "quality": self.quality,
        }
        head = json.dumps(facts).encode()
        return len(head).to_bytes(4, "big") + head + self.embedding.astype("<f4").tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Enrolment":
        """Read what `to_bytes` wrote."""
        size = int.from_bytes(data[:4], "big")
        facts = json.loads(data[4 : 4 + size])
        vector = np.frombuffer(data[4 + size :], dtype="<f4").astype(np.float32)
        return cls(embedding=vector, **facts)


class Enroller(Protocol):
    """Turns photos into probes; see adapters/enroller."""

    def enrol(self, photo: bytes) -> Enrolment:
        """Return the probe of the one face in a photo; raises `Invalid` if it cannot."""
