"""Template protection that both sides must derive alike: keyed rotation, then quantisation.

Per epoch and shard a secret orthogonal matrix rotates the adapted, L2-normalised embedding.
Cosine is preserved inside one epoch and shard and meaningless outside (a keyed orthonormal
projection; see Teoh et al., "Random multispace quantization", TPAMI 2006, for the family).
The rotation is part of the contract, so this is the one wire module that uses numpy.
"""

from functools import lru_cache
from typing import Final

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

from wire.limits import TEMPLATE_BYTES

DIMENSION: Final = TEMPLATE_BYTES
_KEY_BYTES: Final = 32

F32 = NDArray[np.float32]
I8 = NDArray[np.int8]


def derive_shard_key(epoch_key: bytes, *, epoch: int, shard: int) -> bytes:
    """Derive the 32-byte key of one shard from an epoch's 32-byte key (HKDF-SHA256)."""
    if len(epoch_key) != _KEY_BYTES:
        raise ValueError(f"epoch_key must hold {_KEY_BYTES} bytes")
    info = f"sightline/v1/shard/{epoch}/{shard}".encode()
    return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=info).derive(epoch_key)


@lru_cache(maxsize=64)
def rotation(shard_key: bytes) -> F32:
    """Derive the (192, 192) float32 orthogonal matrix of a shard key, Haar-distributed.

    Gaussian numbers come from a ChaCha20 key stream through Box-Muller; QR with the sign of R's
    diagonal fixed makes the result unique (Mezzadri, Notices of the AMS 54, 2007). At most 64
    matrices (9 MB) are kept; the least recently used is dropped.
    """
    gaussian = _gaussian(shard_key, DIMENSION * DIMENSION).reshape(DIMENSION, DIMENSION)
    q, r = np.linalg.qr(gaussian)
    return np.ascontiguousarray(q * np.sign(np.diag(r)), dtype=np.float32)


def protect(embeddings: NDArray[np.floating], shard_key: bytes) -> I8:
    """Rotate and quantise (n, 192) unit embeddings to (n, 192) int8 templates."""
    rotated = np.asarray(embeddings, dtype=np.float32) @ rotation(shard_key).T
    return quantise(rotated)


def quantise(rotated: NDArray[np.floating]) -> I8:
    """Quantise (n, 192) rotated vectors to int8, each by its own largest component.

    No scale is kept: only a template's direction means anything, and `dequantise` renormalises.
    """
    largest = np.maximum(np.abs(rotated).max(axis=-1, keepdims=True), 1e-12)
    return np.asarray(np.rint(rotated / largest * 127.0), dtype=np.int8)


def dequantise(templates: I8) -> F32:
    """Turn (n, 192) int8 templates back into (n, 192) float32 unit vectors (still rotated)."""
    vectors = templates.astype(np.float32)
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-6), dtype=np.float32)


def template_to_bytes(template: I8) -> bytes:
    """Return the 192 wire bytes of one (192,) int8 template."""
    if template.shape != (DIMENSION,) or template.dtype != np.int8:
        raise ValueError(f"template must be int8 of shape ({DIMENSION},)")
    return template.tobytes()


def template_from_bytes(data: bytes) -> I8:
    """Return the (192,) int8 template held in 192 wire bytes."""
    if len(data) != TEMPLATE_BYTES:
        raise ValueError(f"template must hold {TEMPLATE_BYTES} bytes, got {len(data)}")
    return np.frombuffer(data, dtype=np.int8)


def _gaussian(key: bytes, count: int) -> NDArray[np.float64]:
    # Half the numbers come from the cosine, half from the sine branch of Box-Muller.
    pairs = (count + 1) // 2
    stream = Cipher(algorithms.ChaCha20(key, bytes(16)), mode=None).encryptor()
    raw = np.frombuffer(stream.update(bytes(pairs * 16)), dtype="<u8").reshape(2, pairs)
    uniform = ((raw >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    radius = np.sqrt(-2.0 * np.log(uniform[0]))
    angle = 2.0 * np.pi * uniform[1]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count]
