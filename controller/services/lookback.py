"""The lookback questions of a plan: sealed probes, the window that was approved, local limits."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import numpy as np

from controller.domain.candidates import MASK_STATES
from controller.domain.match import Calibration
from controller.domain.types import PlannedQuery
from controller.services.asking import Question
from controller.services.enrolment import Enrolment
from controller.services.keys import KeyService
from controller.services.values import Agent, Case
from wire.limits import MAX_PROBES_PER_QUERY, MAX_TRACKLET_IDS_PER_QUERY
from wire.messages import Probe, QueryKind, QuerySecrets
from wire.protection import template_to_bytes
from wire.times import epoch_of_us

_LOCAL_STRANGERS: Final = 2_000
_LOCAL_FALSE: Final = 0.5
_LONGEST_TRACKLET_US: Final = 3_600_000_000


@dataclass(frozen=True, slots=True)
class Lookbacks:
    """Makes one case's questions."""

    case: Case
    keys: KeyService
    probes: Sequence[Enrolment]
    calibration: Calibration

    def question(
        self, planned: PlannedQuery, agent: Agent, known: Sequence[UUID], ttl_s: float | None
    ) -> Question:
        """Return the question of a planned query; `known` are accepted sightings of this camera."""
        start_us, end_us = self.inside(planned.start_us, planned.end_us)
        limits = [self._local_threshold(probe) for probe in self.probes]
        secrets = QuerySecrets(
            space_id=self.probes[0].space_id,
            probes=self.protected(agent, start_us, end_us, limits),
            sighting_ids=tuple(known[:MAX_TRACKLET_IDS_PER_QUERY]),
        )
        return Question(agent, QueryKind.LOOKBACK, start_us, end_us, planned.reason, secrets, ttl_s)

    def inside(self, start_us: int, end_us: int) -> tuple[int, int]:
        """Return the part of a window that was approved; a margin must not reach beyond it."""
        scope = self.case.scope
        start_us = min(max(start_us, scope.start_us), scope.end_us)
        return start_us, max(start_us, min(end_us, scope.end_us))

    def protected(
        self, agent: Agent, start_us: int, end_us: int, limits: Sequence[float]
    ) -> tuple[Probe, ...]:
        """Return the probes as this agent's templates are, for each day of a window."""
        known = self.keys.known_epochs()
        # A tracklet belongs to the day it began in: the day before may reach into the window.
        days = range(epoch_of_us(start_us - _LONGEST_TRACKLET_US), epoch_of_us(end_us) + 1)
        embeddings = np.stack([probe.embedding for probe in self.probes])
        probes = []
        for day in (one for one in days if one in known):
            rotated = self.keys.rotate_probe(
                self.case.case_id, embeddings, epoch=day, shard=agent.shard
            )
            for row, limit in zip(rotated, limits, strict=True):
                template = template_to_bytes(row)
                probes.append(
                    Probe(epoch=day, shard=agent.shard, template=template, min_similarity=limit)
                )
        return tuple(probes[:MAX_PROBES_PER_QUERY])

    def _local_threshold(self, probe: Enrolment) -> float:
        # One agent's store is small, so few strangers come through; the trace decides about them.
        return min(
            self.calibration.pair(probe.mask_state, state).threshold(
                strangers=_LOCAL_STRANGERS, false_candidates=_LOCAL_FALSE
            )
            for state in MASK_STATES
        )
