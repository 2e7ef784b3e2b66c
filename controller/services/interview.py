"""What people add to a case: where the person said to have been, and what a reviewer decided.

Kept as a result of the case, under the case's key, and erased with it.
"""

from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from controller.domain.trace_nodes import MAX_ANCHORS, Anchor, TraceError, Verdicts
from controller.services.cases import CaseService
from controller.services.fleet import FleetService
from controller.services.refusals import Invalid, NotFound, TooLarge
from controller.services.values import Case, Principal
from wire.times import to_us

KIND: Final = "interview.json"
MAX_VERDICTS: Final = 5_000
Verdict = Literal["confirm", "reject", "undo"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AnchorRequest(_Model):
    """Within `radius_m` of a place, or of a camera, from one moment to another."""

    x_m: Annotated[float, Field(allow_inf_nan=False, ge=-1e6, le=1e6)] | None = None
    y_m: Annotated[float, Field(allow_inf_nan=False, ge=-1e6, le=1e6)] | None = None
    camera_id: Annotated[str, Field(max_length=64)] | None = None
    radius_m: Annotated[float, Field(ge=0, le=100_000)] = 50.0
    start: AwareDatetime
    end: AwareDatetime
    time_uncertainty_s: Annotated[float, Field(ge=0, le=86_400)] = 600.0
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.95


class _KeptAnchor(_Model):
    anchor_id: str
    x_m: float
    y_m: float
    radius_m: float
    start_us: int
    end_us: int
    time_uncertainty_s: float
    confidence: float


class _Kept(_Model):
    anchors: tuple[_KeptAnchor, ...] = ()
    confirmed: frozenset[UUID] = frozenset()
    rejected: frozenset[UUID] = frozenset()


class InterviewService:
    """Adds anchors and verdicts to live cases; at most 200 and 5,000 of them."""

    def __init__(self, cases: CaseService, fleet: FleetService) -> None:
        self._cases, self._fleet = cases, fleet

    def add_anchor(self, case_id: UUID, raw: Any, by: Principal) -> Anchor:
        """Keep what the person said; `Invalid` names what cannot be meant."""
        case = self._cases.get(case_id)
        kept = self._kept(case)
        if len(kept.anchors) >= MAX_ANCHORS:
            raise TooLarge("anchors", f"a case holds at most {MAX_ANCHORS}; open another")
        anchor = self._anchor(_parsed(raw), _next_name(kept))
        new = _KeptAnchor(**{name: getattr(anchor, name) for name in Anchor.__slots__})
        self._keep(case, kept.model_copy(update={"anchors": (*kept.anchors, new)}))
        self._cases.record(by.name, "case.anchor_added", case_id, anchor.anchor_id)
        return anchor

    def remove_anchor(self, case_id: UUID, anchor_id: str, by: Principal) -> None:
        """Take back what the person said; `NotFound` if there is no such anchor."""
        case = self._cases.require_active(case_id)
        kept = self._kept(case)
        left = tuple(one for one in kept.anchors if one.anchor_id != anchor_id)
        if len(left) == len(kept.anchors):
            raise NotFound("anchor_id", "there is no such anchor; see `sightline case anchor list`")
        self._keep(case, kept.model_copy(update={"anchors": left}))
        self._cases.record(by.name, "case.anchor_removed", case_id, anchor_id)

    def judge(self, case_id: UUID, sighting_id: UUID, verdict: Verdict, by: Principal) -> Verdicts:
        """Confirm or reject one sighting, or take that back; returns all verdicts."""
        case = self._cases.require_active(case_id)
        kept = self._kept(case)
        confirmed, rejected = kept.confirmed - {sighting_id}, kept.rejected - {sighting_id}
        if verdict == "confirm":
            confirmed |= {sighting_id}
        elif verdict == "reject":
            rejected |= {sighting_id}
        if len(confirmed) + len(rejected) > MAX_VERDICTS:
            raise TooLarge("verdict", f"a case holds at most {MAX_VERDICTS} of them")
        self._keep(case, kept.model_copy(update={"confirmed": confirmed, "rejected": rejected}))
        self._cases.record(by.name, f"case.sighting_{verdict}", case_id, str(sighting_id))
        return Verdicts(confirmed, rejected)

    def anchors(self, case: Case) -> tuple[Anchor, ...]:
        """Return what the person said."""
        return tuple(Anchor(**one.model_dump()) for one in self._kept(case).anchors)

    def verdicts(self, case: Case) -> Verdicts:
        """Return what reviewers decided."""
        kept = self._kept(case)
        return Verdicts(kept.confirmed, kept.rejected)

    def _kept(self, case: Case) -> _Kept:
        content = self._cases.kept(case, KIND)
        return _Kept() if content is None else _Kept.model_validate_json(content)

    def _keep(self, case: Case, kept: _Kept) -> None:
        self._cases.put_result(case, KIND, kept.model_dump_json().encode())

    def _anchor(self, request: AnchorRequest, anchor_id: str) -> Anchor:
        x_m, y_m = self._place(request)
        try:
            return Anchor(
                anchor_id, x_m, y_m, request.radius_m, to_us(request.start), to_us(request.end),
                request.time_uncertainty_s, request.confidence,
            )  # fmt: skip
        except TraceError as error:
            raise Invalid("anchor", str(error)) from None

    def _place(self, request: AnchorRequest) -> tuple[float, float]:
        if request.camera_id is not None:
            for agent in self._fleet.agents():
                if agent.camera_id == request.camera_id:
                    return agent.x_m, agent.y_m
            raise NotFound("camera_id", "there is no such camera; see `sightline fleet list`")
        if request.x_m is None or request.y_m is None:
            raise Invalid("anchor", "give a camera, or x_m and y_m on the plan")
        return request.x_m, request.y_m


def _next_name(kept: _Kept) -> str:
    last = max((int(one.anchor_id.removeprefix("said-")) for one in kept.anchors), default=0)
    return f"said-{last + 1}"


def _parsed(raw: Any) -> AnchorRequest:
    try:
        return AnchorRequest.model_validate(raw)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in fault["loc"]) or "anchor"
        raise Invalid(where, fault["msg"].removeprefix("Value error, ")) from None
