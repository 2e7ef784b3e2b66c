"""The nodes of a trace's graph as columns: candidates, what the person and a reviewer said."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from controller.domain.candidates import MASK_STATES, CandidateTable
from controller.domain.trace_faces import FaceScores
from controller.domain.traffic import Traffic
from controller.domain.travel import TravelGraph
from controller.domain.types import F64, Candidate

I64 = NDArray[np.int64]
OPEN, CONFIRMED, ANCHOR = 0, 1, 2
CERTAIN_LLR: Final = 60.0
"""What a reviewer's yes is worth: more than any chain can lose."""
MASKED: Final = MASK_STATES.index("masked")
MAX_ANCHORS: Final = 200
"""What one person may have said; more are refused by `Nodes.of`."""


class TraceError(ValueError):
    """A trace cannot be computed from what was given."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """What the person said: within `radius_m` of a place from `start_us` to `end_us`.

    `time_uncertainty_s` is how sure they were of the times, `confidence` (0.5 to 1, exclusive) of
    the whole.
    """

    anchor_id: str
    x_m: float
    y_m: float
    radius_m: float
    start_us: int
    end_us: int
    time_uncertainty_s: float = 600.0
    confidence: float = 0.95

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if not 0.5 < self.confidence < 1.0:
            raise TraceError(
                f"confidence: give more than 0.5 and less than 1, not {self.confidence}"
            )
        if self.end_us < self.start_us:
            raise TraceError("end_us: give a time that is not before start_us")
        if self.radius_m < 0 or self.time_uncertainty_s < 0:
            raise TraceError("radius_m, time_uncertainty_s: give numbers of at least 0")


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What a reviewer decided about single sightings."""

    confirmed: frozenset[UUID] = field(default_factory=frozenset)
    rejected: frozenset[UUID] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class Nodes:
    """n nodes in order of start; all (n,).

    `camera` is a place in the graph or -1 (an anchor), `place_m` (n, 2), `reach_m` how far from
    the place the person may be, times in seconds since `origin_us`, `kind` one of `OPEN`,
    `CONFIRMED`, `ANCHOR`, `row` the candidate's row or the anchor's number; `strange` and `usual`
    as in `FaceScores`, `weight` by quality; `log_hz` how often strangers come by;
    `log_found` the chance that one sighting of the day, of somebody of whom nothing is known, is
    in this camera and second.
    """

    origin_us: int
    camera: I64
    place_m: F64
    reach_m: F64
    start_s: F64
    end_s: F64
    sigma_s: F64
    llr: F64
    strange: F64
    usual: F64
    weight: F64
    log_hz: F64
    log_found: F64
    masked: NDArray[np.bool_]
    kind: NDArray[np.int8]
    row: I64

    def __len__(self) -> int:
        """Return n."""
        return len(self.llr)

    def take(self, chosen: I64) -> "Nodes":
        """Return the chosen nodes, in order of start."""
        chosen = chosen[np.lexsort((self.row[chosen], self.end_s[chosen], self.start_s[chosen]))]
        return Nodes(
            self.origin_us, self.camera[chosen], self.place_m[chosen], self.reach_m[chosen],
            self.start_s[chosen], self.end_s[chosen], self.sigma_s[chosen], self.llr[chosen],
            self.strange[chosen], self.usual[chosen], self.weight[chosen], self.log_hz[chosen],
            self.log_found[chosen], self.masked[chosen], self.kind[chosen], self.row[chosen],
        )  # fmt: skip


def nodes_of(
    table: CandidateTable, scores: FaceScores, graph: TravelGraph, anchors: Sequence[Anchor],
    verdicts: Verdicts, traffic: Traffic,
) -> Nodes:  # fmt: skip
    """Return the nodes of all candidates whose camera is in the graph, and of the anchors."""
    if len(anchors) > MAX_ANCHORS:
        raise TraceError(f"anchors: give at most {MAX_ANCHORS}, not {len(anchors)}")
    place = {name: i for i, name in enumerate(graph.camera_ids)}
    known = np.array([place.get(name, -1) for name in table.cameras], np.int64)
    camera = known[table.camera] if len(table) else np.empty(0, np.int64)
    refused = _rows_of(table, verdicts.rejected)
    usable = np.flatnonzero((camera >= 0) & ~refused)
    starts = [int(table.start_us[usable].min())] if len(usable) else []
    origin_us = min(starts + [a.start_us for a in anchors], default=0)
    mine = _candidate_nodes(table, scores, graph, camera, usable, origin_us, traffic)
    mine.kind[:] = np.where(_rows_of(table, verdicts.confirmed)[usable], CONFIRMED, OPEN)
    mine.llr[mine.kind == CONFIRMED] = CERTAIN_LLR
    whole = _joined(mine, _anchor_nodes(anchors, origin_us, traffic))
    return whole.take(np.arange(len(whole)))


def table_of(candidates: Sequence[Candidate]) -> CandidateTable:
    """Return candidates as columns, in their order; which photo spoke for them is not known."""
    names = tuple(sorted({c.camera_id for c in candidates}))
    place = {name: i for i, name in enumerate(names)}
    codes = {state: code for code, state in enumerate(MASK_STATES)}
    unsure = codes["unsure"]
    return CandidateTable(
        ids=np.array([c.sighting_id.bytes for c in candidates], "V16"),
        cameras=names,
        camera=np.array([place[c.camera_id] for c in candidates], np.int32),
        start_us=np.array([c.start_us for c in candidates], np.int64),
        end_us=np.array([c.end_us for c in candidates], np.int64),
        time_uncertainty_s=np.array([c.time_uncertainty_s for c in candidates], np.float64),
        mask=np.array([codes.get(c.mask_state, unsure) for c in candidates], np.uint8),
        quality=np.array([c.quality for c in candidates], np.float64),
        similarity=np.array([c.similarity for c in candidates], np.float64),
        llr=np.array([c.llr for c in candidates], np.float64),
        probe=np.full(len(candidates), -1, np.int16),
    )


def _rows_of(table: CandidateTable, ids: frozenset[UUID]) -> NDArray[np.bool_]:
    if not ids or not len(table):
        return np.zeros(len(table), bool)
    wanted: Mapping[bytes, None] = dict.fromkeys(one.bytes for one in ids)
    return np.array([one.tobytes() in wanted for one in table.ids], bool)


def _candidate_nodes(
    table: CandidateTable, scores: FaceScores, graph: TravelGraph, camera: I64, rows: I64,
    origin_us: int, traffic: Traffic,
) -> Nodes:  # fmt: skip
    return Nodes(
        origin_us=origin_us,
        camera=camera[rows],
        place_m=graph.places_m[camera[rows]],
        reach_m=np.full(len(rows), graph.radius_m),
        start_s=(table.start_us[rows] - origin_us) / 1e6,
        end_s=(table.end_us[rows] - origin_us) / 1e6,
        sigma_s=table.time_uncertainty_s[rows].astype(np.float64),
        llr=table.llr[rows].astype(np.float64),
        strange=scores.strange[rows],
        usual=scores.usual[rows],
        weight=table.quality[rows].clip(0.05, 1.0),
        log_hz=traffic.log_at(camera[rows], table.start_us[rows]),
        log_found=traffic.log_found(camera[rows], table.start_us[rows]),
        masked=np.asarray(table.mask[rows] == MASKED),
        kind=np.zeros(len(rows), np.int8),
        row=rows.astype(np.int64),
    )


def _anchor_nodes(anchors: Sequence[Anchor], origin_us: int, traffic: Traffic) -> Nodes:
    # The stay's two ends are nodes: whatever was seen inside it links to them by place.
    ends = [
        (k, one, at_us)
        for k, one in enumerate(anchors)
        for at_us in dict.fromkeys((one.start_us, one.end_us))
    ]
    at_s = np.array([(at_us - origin_us) / 1e6 for *_, at_us in ends], np.float64)
    return Nodes(
        origin_us=origin_us,
        camera=np.full(len(ends), -1, np.int64),
        place_m=np.array([(one.x_m, one.y_m) for _, one, _ in ends], np.float64).reshape(-1, 2),
        reach_m=np.array([one.radius_m for _, one, _ in ends], np.float64),
        start_s=at_s,
        end_s=at_s.copy(),
        sigma_s=np.array([one.time_uncertainty_s for _, one, _ in ends], np.float64),
        llr=np.array([np.log(o.confidence / (1 - o.confidence)) for _, o, _ in ends], np.float64),
        strange=np.zeros(len(ends)),
        usual=np.zeros(len(ends)),
        weight=np.ones(len(ends)),
        log_hz=np.zeros(len(ends)),
        log_found=np.full(len(ends), traffic.log_anywhere),
        masked=np.zeros(len(ends), bool),
        kind=np.full(len(ends), ANCHOR, np.int8),
        row=np.array([k for k, *_ in ends], np.int64),
    )


def _joined(a: Nodes, b: Nodes) -> Nodes:
    columns = [
        np.concatenate([getattr(a, name), getattr(b, name)])
        for name in Nodes.__slots__
        if name != "origin_us"
    ]
    return Nodes(a.origin_us, *columns)
