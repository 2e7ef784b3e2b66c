"""What the services refuse: one line each, naming the field and the mend."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from controller.errors import ControllerError


class Refusal(ControllerError):
    """A request that cannot be granted; `status` is its HTTP status."""

    status: ClassVar[int] = 422

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


class Invalid(Refusal):
    """A value that cannot be used as given."""


class Unauthenticated(Refusal):
    """No valid token, or a wrong name or password."""

    status = 401


class NotAllowed(Refusal):
    """The person, or the case's state, does not permit this."""

    status = 403


class NotFound(Refusal):
    """The named thing does not exist (any more)."""

    status = 404


class Conflict(Refusal):
    """The named thing is in another state than the request needs."""

    status = 409


class Gone(Refusal):
    """The case has ended; its data is destroyed."""

    status = 410


class TooLarge(Refusal):
    """More bytes than the stated limit."""

    status = 413


class TooMany(Refusal):
    """More requests or items than the stated limit."""

    status = 429


@dataclass(frozen=True, slots=True)
class RowFault:
    """One faulty row of a bulk request; `line` is 1-based."""

    line: int
    field: str
    message: str


class RowsInvalid(Refusal):
    """A bulk request with faulty rows, of which nothing was done."""

    def __init__(self, field: str, faults: Sequence[RowFault]) -> None:
        first = faults[0]
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        super().__init__(
            field,
            f"line {first.line}: {first.field}: {first.message}{more}; nothing was added",
        )
        self.faults = tuple(faults)
