"""The two networks that look at one aligned face: embedder and mask classifier."""

import math
from dataclasses import dataclass

import numpy as np

from agent.models.runtime import Network
from agent.vision.adaptation import Adaptation
from agent.vision.align import arcface_crop, mask_crop
from agent.vision.types import F32, U8, MaskName


class Embedder:
    """Turn an aligned face into a vector; adapt fused vectors into the pack's space."""

    def __init__(self, network: Network, adaptation: Adaptation, *, mirror: bool) -> None:
        self._network = network
        self._adaptation = adaptation
        self._mirror = mirror

    def embed(self, image_rgb: U8, landmarks_xy: F32) -> F32:
        """Return the raw (192,) unit embedding of one face (its mirror image averaged in)."""
        crop = arcface_crop(image_rgb, landmarks_xy)
        views = [crop, crop[:, ::-1]] if self._mirror else [crop]
        return unit(np.sum([self._one(view) for view in views], axis=0))

    def adapt(self, raw: F32, state: MaskName) -> F32:
        """Centre, whiten and renormalise one raw (192,) vector of a face in this mask state."""
        return np.asarray(self._adaptation.apply(raw[None], state)[0], np.float32)

    def _one(self, crop: U8) -> F32:
        pixels = (crop.astype(np.float32) - 127.5) / 128.0
        return unit(self._network.run(np.ascontiguousarray(pixels[None]))[0][0])


@dataclass(frozen=True, slots=True)
class MaskCalibration:
    """How the network's answer becomes a probability: sigmoid((logit + offset) / temperature).

    `scale`: what the network's own logit is multiplied with to undo its own temperature.
    """

    scale: float
    offset: float
    temperature: float


class MaskClassifier:
    """Give the calibrated probability that a face wears a mask."""

    def __init__(self, network: Network, calibration: MaskCalibration) -> None:
        self._network, self._calibration = network, calibration

    def probability(self, image_rgb: U8, landmarks_xy: F32) -> float:
        """Return P(masked) of one face."""
        crop = mask_crop(image_rgb, landmarks_xy).astype(np.float32)[None]
        logit = self._calibration.scale * _logit(float(self._network.run(crop)[0][0, 0]))
        return 1.0 / (1.0 + math.exp(
            -(logit + self._calibration.offset) / self._calibration.temperature))  # fmt: skip


def _logit(probability: float) -> float:
    clipped = min(max(probability, 1e-6), 1 - 1e-6)
    return math.log(clipped / (1 - clipped))


def unit(vector: F32) -> F32:
    """L2-normalise one vector."""
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9), np.float32)
