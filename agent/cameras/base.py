"""The one interface of all cameras."""

from collections.abc import Iterator
from typing import Protocol

from agent.errors import AgentError
from agent.vision.types import Frame


class CameraFailed(AgentError):
    """A camera cannot be opened or gives no usable pictures."""


class CameraSource(Protocol):
    """Gives frames with their capture time until it ends or is closed."""

    def frames(self) -> Iterator[Frame]:
        """Yield frames in the order of their capture."""
        ...

    def close(self) -> None:
        """Release the device; `frames` then ends."""
        ...
