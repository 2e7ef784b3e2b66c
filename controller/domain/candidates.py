"""Candidates by the hundred thousand: columns instead of objects."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from controller.domain.types import F64, Candidate

MASK_STATES: Final = ("unmasked", "masked", "unsure")
"""A place in this tuple is a mask state's code."""


@dataclass(frozen=True, slots=True)
class CandidateTable:
    """n sightings that may be the subject, in order of time.

    `ids` (n,) V16, `camera` (n,) places in `cameras`, `mask` (n,) places in `MASK_STATES`,
    `probe` (n,) which photo speaks most for it; times in µs, the clock corrected.
    """

    ids: NDArray[np.void]
    cameras: tuple[str, ...]
    camera: NDArray[np.int32]
    start_us: NDArray[np.int64]
    end_us: NDArray[np.int64]
    time_uncertainty_s: F64
    mask: NDArray[np.uint8]
    quality: F64
    similarity: F64
    llr: F64
    probe: NDArray[np.int16]

    def __len__(self) -> int:
        """Return n."""
        return len(self.llr)

    def rows(self, chosen: NDArray[np.integer] | slice) -> "CandidateTable":
        """Return the chosen rows as a table of their own."""
        return CandidateTable(
            ids=self.ids[chosen],
            cameras=self.cameras,
            camera=self.camera[chosen],
            start_us=self.start_us[chosen],
            end_us=self.end_us[chosen],
            time_uncertainty_s=self.time_uncertainty_s[chosen],
            mask=self.mask[chosen],
            quality=self.quality[chosen],
            similarity=self.similarity[chosen],
            llr=self.llr[chosen],
            probe=self.probe[chosen],
        )

    def candidate(self, i: int) -> Candidate:
        """Return one row as an object."""
        return Candidate(
            sighting_id=UUID(bytes=self.ids[i].tobytes()),
            camera_id=self.cameras[self.camera[i]],
            start_us=int(self.start_us[i]),
            end_us=int(self.end_us[i]),
            time_uncertainty_s=float(self.time_uncertainty_s[i]),
            similarity=float(self.similarity[i]),
            llr=float(self.llr[i]),
            mask_state=MASK_STATES[self.mask[i]],
            quality=float(self.quality[i]),
        )

    def candidates(self) -> tuple[Candidate, ...]:
        """Return all rows as objects; for some thousands at most."""
        return tuple(self.candidate(i) for i in range(len(self)))


def joined(tables: Sequence[CandidateTable]) -> CandidateTable:
    """Join tables, sorted by start, camera and id; one sighting found twice stays one row."""
    names = sorted({name for table in tables for name in table.cameras})
    place = {name: i for i, name in enumerate(names)}
    cameras = [
        np.array([place[name] for name in table.cameras], np.int32)[table.camera]
        if len(table)
        else np.empty(0, np.int32)
        for table in tables
    ]
    whole = CandidateTable(
        ids=_column(tables, "ids", "V16"),
        cameras=tuple(names),
        camera=np.concatenate([*cameras, np.empty(0, np.int32)]),
        start_us=_column(tables, "start_us", np.int64),
        end_us=_column(tables, "end_us", np.int64),
        time_uncertainty_s=_column(tables, "time_uncertainty_s", np.float64),
        mask=_column(tables, "mask", np.uint8),
        quality=_column(tables, "quality", np.float64),
        similarity=_column(tables, "similarity", np.float64),
        llr=_column(tables, "llr", np.float64),
        probe=_column(tables, "probe", np.int16),
    )
    text = whole.ids.view("S16") if len(whole) else whole.ids.astype("S16")
    _, first = np.unique(text, return_index=True)
    whole = whole.rows(first)
    return whole.rows(np.lexsort((whole.camera, whole.start_us)))


def _column(tables: Sequence[CandidateTable], name: str, kind: Any) -> NDArray[Any]:
    columns = [np.asarray(getattr(table, name), kind) for table in tables]
    return np.concatenate([np.empty(0, kind), *columns])
