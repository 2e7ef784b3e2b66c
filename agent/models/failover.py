"""A network on an accelerator that may be missing at the start or vanish while running."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from numpy.typing import NDArray

from agent.errors import AgentError
from agent.models.network import (
    F32,
    Network,
    NetworkFailed,
    TensorInfo,
)

log = logging.getLogger("agent.models")
RETRY_AFTER_S: Final = 60.0


@dataclass(slots=True)
class AcceleratorState:
    """What is told of one accelerator: its name, whether it works now, and how often it did not."""

    name: str = "none"
    working: bool = True
    faults_total: int = 0


class FailoverNetwork:
    """Run on the accelerator; without it run on the CPU and try again every `RETRY_AFTER_S`.

    Nothing is lost at the change: the inference that failed is repeated on the CPU.
    """

    def __init__(
        self, *, load_fast: Callable[[], Network], load_plain: Callable[[], Network],
        state: AcceleratorState, now_s: Callable[[], float],
    ) -> None:  # fmt: skip
        self._load_fast, self._load_plain = load_fast, load_plain
        self._state, self._now_s = state, now_s
        self._fast: Network | None = None
        self._plain: Network | None = None
        self._retry_at_s = float("-inf")
        self._shape = (self._accelerated() or self._on_cpu()).inputs

    @property
    def inputs(self) -> tuple[TensorInfo, ...]:
        """Describe the inputs in order."""
        return self._shape

    @property
    def outputs(self) -> tuple[TensorInfo, ...]:
        """Describe the outputs in order."""
        return (self._fast or self._on_cpu()).outputs

    def run(self, *arrays: NDArray[Any]) -> list[F32]:
        """Run one inference on whatever works."""
        fast = self._accelerated()
        if fast is not None:
            try:
                return fast.run(*arrays)
            except NetworkFailed as error:
                self._lost(str(error))
        return self._on_cpu().run(*arrays)

    def _accelerated(self) -> Network | None:
        if self._fast is None and self._now_s() >= self._retry_at_s:
            try:
                self._fast = self._load_fast()
            except AgentError as error:
                self._lost(str(error))
            else:
                self._state.working = True
        return self._fast

    def _lost(self, reason: str) -> None:
        self._fast = None
        self._retry_at_s = self._now_s() + RETRY_AFTER_S
        self._state.working = False
        self._state.faults_total += 1
        log.warning("accelerator %s: %s; running on the CPU, next try in %.0f s",
                    self._state.name, reason, RETRY_AFTER_S)  # fmt: skip

    def _on_cpu(self) -> Network:
        if self._plain is None:
            self._plain = self._load_plain()
        return self._plain
