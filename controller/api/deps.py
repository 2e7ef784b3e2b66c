"""Who is asking, and the services a route needs."""

from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Request

from controller.api.app import ApiParts
from controller.services.accounts import require
from controller.services.refusals import Unauthenticated
from controller.services.values import Principal


def parts_of(request: Request) -> ApiParts:
    """Return the services of this application."""
    parts = request.app.state.parts
    assert isinstance(parts, ApiParts)
    return parts


Parts = Annotated[ApiParts, Depends(parts_of)]


def principal(request: Request, parts: Parts) -> Principal:
    """Return who sent the request's bearer token; raises `Unauthenticated`."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("token", "is missing; run `sightline login`")
    return parts.accounts.authenticate(token.strip())


def allowed(permission: str) -> Callable[[Principal], Principal]:
    """Return a dependency that gives the principal if the role holds the permission."""

    def check(who: Annotated[Principal, Depends(principal)]) -> Principal:
        require(who, permission)
        return who

    return check
