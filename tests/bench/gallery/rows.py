"""Gallery rows of one shard's day around given templates."""

import os
from typing import Final

import numpy as np
from numpy.typing import NDArray

from controller.services.ports import GalleryRow
from tests.bench.gallery.searching import SPACE
from wire.ids import uuid7
from wire.times import EPOCH_US

FIRST_EPOCH: Final = 20_400
CAMERAS: Final = 256


def gallery_rows(
    rng: np.random.Generator, epoch: int, shard: int, templates: NDArray[np.int8]
) -> list[GalleryRow]:
    """Return one row per template, at random times of the day and cameras of the shard."""
    count = len(templates)
    starts = epoch * EPOCH_US + rng.integers(0, EPOCH_US - 20_000_000, count)
    dwell = rng.integers(1_000_000, 12_000_000, count)
    cameras = rng.integers(0, CAMERAS, count)
    quality = rng.integers(100, 250, count) / 256
    return [
        GalleryRow(
            id=uuid7(unix_ms=int(starts[i]) // 1000, random_bytes=os.urandom(10)),
            agent_id=f"box-{shard:02d}-{cameras[i]:03d}",
            camera_id=f"cam-{shard:02d}-{cameras[i]:03d}",
            epoch=epoch, shard=shard, start_us=int(starts[i]), end_us=int(starts[i] + dwell[i]),
            time_uncertainty_s=0.012, space_id=SPACE, variant="float",
            template=templates[i].tobytes(), mask_state="unmasked", mask_probability=0.0625,
            quality=float(quality[i]), face_count=9,
        )
        for i in range(count)
    ]  # fmt: skip
