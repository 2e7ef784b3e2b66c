"""Who is asking, and the services a route needs."""

from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Request

from controller.api.app import ApiParts, authenticated
from controller.services.accounts import require
from controller.services.values import Principal


def parts_of(request: Request) -> ApiParts:
    """Return the services of this application."""
    parts = request.app.state.parts
    assert isinstance(parts, ApiParts)
    return parts


Parts = Annotated[ApiParts, Depends(parts_of)]


def allowed(permission: str) -> Callable[[Principal], Principal]:
    """Return a dependency that gives the principal if the role holds the permission."""

    def check(who: Annotated[Principal, Depends(authenticated)]) -> Principal:
        require(who, permission)
        return who

    return check
