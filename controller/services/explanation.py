"""Why a sighting is, or is not, a candidate of a case: asked for by an investigator, audited."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from controller.domain.candidates import MASK_STATES
from controller.services.cases import CaseService
from controller.services.keys import KeyService
from controller.services.match import Matcher
from controller.services.match_found import MatchRequest
from controller.services.ports import GalleryRow, GalleryScope
from controller.services.refusals import NotFound
from controller.services.values import Principal
from wire.protection import dequantise, template_from_bytes
from wire.times import EPOCH_US


class FindsSightings(Protocol):
    """The gallery as an explanation needs it."""

    def sighting(
        self, sighting_id: UUID, *, first_epoch: int, last_epoch: int
    ) -> GalleryRow | None:
        """Return one sighting of these epochs, or None."""


@dataclass(frozen=True, slots=True)
class Explanations:
    """Explains one sighting at a time, inside a case's scope only.

    `request` gives what a case's search asks for; raises `Refusal` for a case that may not go on.
    """

    cases: CaseService
    keys: KeyService
    matcher: Matcher
    gallery: FindsSightings
    request: Callable[[UUID], MatchRequest]

    def explain(self, case_id: UUID, sighting_id: UUID, by: Principal) -> list[str]:
        """Return one sentence per reference photo; the photo that speaks most comes first.

        Raises `NotFound` if the case's scope holds no such sighting.
        """
        request = self.request(case_id)
        row = self._sighting(request, sighting_id)
        self.cases.record(by.name, "case.explained", case_id, f"sighting={sighting_id}")
        [probes] = self.keys.rotate_exactly(case_id, request.embeddings(), [(row.epoch, row.shard)])
        cosines = probes @ dequantise(template_from_bytes(row.template)[None])[0]
        point = self.matcher.operating_point(request)
        mask = MASK_STATES.index(row.mask_state)
        return [point.explain(float(cosines[photo]), photo, mask) for photo in (-cosines).argsort()]

    def _sighting(self, request: MatchRequest, sighting_id: UUID) -> GalleryRow:
        scope = request.scope
        row = self.gallery.sighting(
            sighting_id,
            first_epoch=scope.start_us // EPOCH_US - 1,
            last_epoch=scope.end_us // EPOCH_US + 1,
        )
        if row is None or not _inside(row, scope):
            raise NotFound(
                "sighting_id", "this case's scope holds no such sighting; take an id of its report"
            )
        return row


def _inside(row: GalleryRow, scope: GalleryScope) -> bool:
    offset_us = round(row.clock_offset_s * 1e6)
    return (
        row.space_id == scope.space_id
        and row.end_us + offset_us >= scope.start_us
        and row.start_us + offset_us <= scope.end_us
        and (scope.camera_ids is None or row.camera_id in scope.camera_ids)
    )
