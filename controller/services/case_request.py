"""What is asked for when a case is opened, and whether it can be granted."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from controller.services.fleet import unknown_cameras
from controller.services.refusals import Invalid
from controller.services.values import Agent, Area, CaseScope, LegalBasis
from wire.times import from_us, to_us

MAX_PHOTOS: Final = 8
MAX_PHOTO_BYTES: Final = 10 * 1024 * 1024
MAX_LIFE: Final = timedelta(days=30)
_MAX_ONSET_AGE: Final = timedelta(days=60)


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AreaRequest(_Model):
    """A disc on the plan, metres."""

    x_m: Annotated[float, Field(allow_inf_nan=False)]
    y_m: Annotated[float, Field(allow_inf_nan=False)]
    radius_m: Annotated[float, Field(gt=0, le=1_000_000)]


class CaseRequest(_Model):
    """What is asked for; where and when may be looked is the scope."""

    label: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[\w .:/#-]+$")]
    legal_basis: LegalBasis
    onset_date: date | None = None
    specimen_date: date | None = None
    scope_start: AwareDatetime
    scope_end: AwareDatetime
    camera_ids: Annotated[tuple[str, ...], Field(max_length=10_000)] = ()
    area: AreaRequest | None = None
    expires_at: AwareDatetime

    @property
    def scope(self) -> CaseScope:
        """The scope as the services use it."""
        area = self.area
        return CaseScope(
            start_us=to_us(self.scope_start.astimezone(UTC)),
            end_us=to_us(self.scope_end.astimezone(UTC)),
            camera_ids=self.camera_ids,
            area=None if area is None else Area(area.x_m, area.y_m, area.radius_m),
        )


def parse_request(raw: Any) -> CaseRequest:
    """Check the fields of a case; raises `Invalid` naming the first faulty field."""
    try:
        return CaseRequest.model_validate(raw)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in fault["loc"]) or "case"
        raise Invalid(where, fault["msg"].removeprefix("Value error, ")) from None


def check_request(
    request: CaseRequest, agents: Sequence[Agent], *, now_us: int, retention_days: int
) -> None:
    """Raise `Invalid` if dates, scope or expiry make no sense, or a camera is unknown."""
    now = from_us(now_us)
    _check_dates(request, now)
    _check_scope(request, now, retention_days)
    if not now < request.expires_at <= now + MAX_LIFE:
        raise Invalid("expires_at", f"must lie in the next {MAX_LIFE.days} days")
    unknown = unknown_cameras(request.camera_ids, agents)
    if unknown:
        raise Invalid(
            "camera_ids",
            f"camera {unknown[0][:64]!r} is not registered; see `sightline fleet list`",
        )
    if not _cameras_inside(request.scope, agents):
        raise Invalid("scope", "holds no registered camera; widen the area or register cameras")


def cameras_in_scope(scope: CaseScope, agents: Sequence[Agent]) -> list[Agent]:
    """Return the agents whose cameras a case may look at."""
    return _cameras_inside(scope, agents)


def _cameras_inside(scope: CaseScope, agents: Sequence[Agent]) -> list[Agent]:
    named = frozenset(scope.camera_ids)
    area = scope.area
    return [
        agent
        for agent in agents
        if (not named or agent.camera_id in named)
        and (
            area is None
            or (agent.x_m - area.x_m) ** 2 + (agent.y_m - area.y_m) ** 2 <= area.radius_m**2
        )
    ]


def _check_dates(request: CaseRequest, now: datetime) -> None:
    if request.onset_date is None and request.specimen_date is None:
        raise Invalid("onset_date", "give the onset date or the specimen date")
    for field in ("onset_date", "specimen_date"):
        value: date | None = getattr(request, field)
        if value is None:
            continue
        # A day of slack: local dates may be ahead of UTC.
        if not now.date() - _MAX_ONSET_AGE <= value <= now.date() + timedelta(days=1):
            raise Invalid(field, "must lie in the last 60 days")


def _check_scope(request: CaseRequest, now: datetime, retention_days: int) -> None:
    if request.scope_end <= request.scope_start:
        raise Invalid("scope_end", "must be after scope_start")
    if request.scope_end - request.scope_start > timedelta(days=retention_days + 1):
        raise Invalid("scope_start", f"at most {retention_days + 1} days can be looked at")
    if request.scope_start > now:
        raise Invalid("scope_start", "lies in the future; nothing has been seen yet")
