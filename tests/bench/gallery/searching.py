"""A search as the product does it: ten cases in one scan through the matcher."""

import hashlib
from functools import lru_cache
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from controller.domain.match import Calibration, PairModel
from controller.services.enrolment import Enrolment
from controller.services.match import Matcher, SearchableGallery
from controller.services.match_found import MatchRequest
from controller.services.ports import GalleryScope
from wire.protection import F32, rotation

SPACE = "bench-space"
EPOCHS = frozenset(range(100_000))


class TableKeys:
    """Rotations by (epoch, shard), made from a number; the key service's part in a search."""

    def known_epochs(self) -> frozenset[int]:
        """Return every epoch."""
        return EPOCHS

    def matrix(self, epoch: int, shard: int) -> F32:
        """Return the rotation of one shard; kept by `rotation` itself for the last 64."""
        return rotation(shard_key(epoch, shard))

    def rotate_exactly(
        self, case_id: UUID, embeddings: F32, parts: list[tuple[int, int]]
    ) -> list[F32]:
        """Rotate as the key service does."""
        return [np.asarray(embeddings @ self.matrix(*part).T, np.float32) for part in parts]


class At(PairModel):
    """A pair model whose threshold is given."""

    def threshold(self, *, strangers: int, false_candidates: float) -> float:
        """Return the given cosine."""
        return self.genuine_mean


@lru_cache(maxsize=4_096)
def shard_key(epoch: int, shard: int) -> bytes:
    """Return the key of a shard."""
    return hashlib.sha256(f"{epoch}/{shard}".encode()).digest()


def search(
    gallery: SearchableGallery, keys: TableKeys, probes: F32, least: float, scope: GalleryScope
) -> NDArray[np.void]:
    """Search one case per probe at a cosine; return the ids found for any."""
    found = search_each(gallery, keys, probes, least, scope)
    return np.unique(np.concatenate([ids.view("S16") for ids in found])).view("V16")


def search_each(
    gallery: SearchableGallery, keys: TableKeys, probes: F32, least: float, scope: GalleryScope
) -> list[NDArray[np.void]]:
    """Search one case per probe at a cosine; return the ids found for each."""
    pair = At(0.0, 0.137, least, 0.15)
    names = ("unmasked-unmasked", "masked-unmasked", "masked-masked")
    calibration = Calibration(dict.fromkeys(names, pair))
    requests = [
        MatchRequest(UUID(int=i), [_enrolment(probe)], scope, calibration)
        for i, probe in enumerate(probes)
    ]
    found = Matcher(gallery, keys).match_all(requests)  # type: ignore[arg-type]
    assert all(one.complete for one in found)
    return [one.table.ids for one in found]


def _enrolment(probe: F32) -> Enrolment:
    return Enrolment(probe, SPACE, "float", "unmasked", 0.05, 0.8)
