"""The two networks that look at one aligned face: embedder and mask classifier."""

import numpy as np

from agent.models.pack import Adaptation
from agent.models.runtime import Network
from agent.vision.align import arcface_crop, mask_crop
from agent.vision.types import F32, U8


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

    def adapt(self, raw: F32) -> F32:
        """Centre, whiten and renormalise one raw (192,) vector."""
        return np.asarray(self._adaptation.apply(raw[None])[0], np.float32)

    def _one(self, crop: U8) -> F32:
        pixels = (crop.astype(np.float32) - 127.5) / 128.0
        return unit(self._network.run(np.ascontiguousarray(pixels[None]))[0][0])


class MaskClassifier:
    """Give the calibrated probability that a face wears a mask."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def probability(self, image_rgb: U8, landmarks_xy: F32) -> float:
        """Return P(masked) of one face."""
        crop = mask_crop(image_rgb, landmarks_xy).astype(np.float32)
        return float(self._network.run(crop[None])[0][0, 0])


def unit(vector: F32) -> F32:
    """L2-normalise one vector."""
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9), np.float32)
