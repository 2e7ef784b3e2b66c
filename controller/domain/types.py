"""Values of the controller's thinking: times in µs since 1970 UTC, places in metres."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Decision = Literal["accepted", "review", "rejected"]
ContactDecision = Literal["contact", "no_contact", "undecided"]


@dataclass(frozen=True, slots=True)
class CameraSite:
    """Where a camera stands and which agent looks through it."""

    camera_id: str
    agent_id: str
    x_m: float
    y_m: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sighting that may be the subject: its similarity and what that is worth (`llr`)."""

    sighting_id: UUID
    camera_id: str
    start_us: int
    end_us: int
    time_uncertainty_s: float
    similarity: float
    llr: float
    mask_state: str
    quality: float


@dataclass(frozen=True, slots=True)
class Visit:
    """Consecutive sightings of the subject in one camera; `posterior` of its best sighting."""

    camera_id: str
    start_us: int
    end_us: int
    sighting_ids: tuple[UUID, ...]
    posterior: float
    similarity: float
    llr: float
    decision: Decision
    explanation: str


@dataclass(frozen=True, slots=True)
class Trace:
    """Accepted visits in order of time, doubtful ones for review, and how many were looked at."""

    visits: tuple[Visit, ...]
    review: tuple[Visit, ...]
    considered: int
    rejected: int


@dataclass(frozen=True, slots=True)
class PlannedQuery:
    """One question to one agent, with the reason in a sentence and what it is likely to bring."""

    agent_id: str
    camera_id: str
    kind: Literal["lookback"]
    start_us: int
    end_us: int
    reason: str
    expected_gain: float


@dataclass(frozen=True, slots=True)
class MaskMoment:
    """From this moment on a person's mask state is this."""

    at_us: int
    state: str


@dataclass(frozen=True, slots=True)
class PersonTrack:
    """One tracklet as a queried agent revealed it.

    `times_us` (n,), `places_m` (n, 2) on the camera's own ground, `noise_sd_m` (n,);
    `template` (192,) in the case's frame, or None if it could not be brought there.
    """

    tracklet_id: UUID
    is_subject: bool
    start_us: int
    end_us: int
    times_us: NDArray[np.int64]
    places_m: F64
    noise_sd_m: F64
    masks: tuple[MaskMoment, ...]
    template: F32 | None
    quality: float


@dataclass(frozen=True, slots=True)
class CameraView:
    """What one camera saw around the subject. Heights are None where it is not calibrated."""

    camera_id: str
    camera_height_m: float | None
    head_height_m: float | None
    head_height_sd_m: float | None
    frame_interval_s: float
    tracks: tuple[PersonTrack, ...]


@dataclass(frozen=True, slots=True)
class Episode:
    """A stretch in which two people were probably within the rule's distance.

    `minutes_interval` is 90 %.
    """

    camera_id: str
    start_us: int
    end_us: int
    minutes: float
    distance_m_median: float
    mask_subject: str
    mask_contact: str
    minutes_interval: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class ContactAssessment:
    """One other person against the rule; `minutes_interval` is 90 %.

    `minutes` are expected, `minutes_observed` while both faces were seen (below them) and
    `minutes_possible` with every gap bridged (above). `link_probability` is that of the least
    certain of the person's tracklets.
    """

    contact_id: str
    tracklet_ids: tuple[UUID, ...]
    minutes: float
    minutes_interval: tuple[float, float]
    minutes_possible: float
    distance_m_median: float
    mask_subject: str
    mask_contact: str
    decision: ContactDecision
    probability: float
    reason: str
    episodes: tuple[Episode, ...]
    minutes_observed: float = 0.0
    link_probability: float = 1.0
