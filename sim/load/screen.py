"""The live line of a load run: one line that changes, or a line now and then where none can."""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.text import Text

from sim.load.tally import Latencies, Report, sum_tallies

_PLAIN_EVERY_S: Final = 10.0


class LiveLine:
    """Shows the latest figures; use as a context."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, transient=True, auto_refresh=False)
        self._plain_s = 0.0
        self._last: tuple[float, int] = (time.monotonic(), 0)

    def __enter__(self) -> "LiveLine":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        where: TracebackType | None,
    ) -> None:  # fmt: skip
        if self._console.is_terminal:
            self._live.stop()

    def show(self, phase: str, reports: Sequence[Report]) -> None:
        """Show how far the run is."""
        now_s = time.monotonic()
        if self._console.is_terminal:
            self._live.update(Text(self._line(phase, reports, now_s)), refresh=True)
        elif now_s >= self._plain_s:
            self._plain_s = now_s + _PLAIN_EVERY_S
            self._console.print(self._line(phase, reports, now_s), soft_wrap=True)

    def _line(self, phase: str, reports: Sequence[Report], now_s: float) -> str:
        tally = sum_tallies(one.tally for one in reports)
        connected, boxes = sum(r.connected for r in reports), sum(r.boxes for r in reports)
        before_s, before = self._last
        self._last = (now_s, tally.acked)
        rate = (tally.acked - before) / max(now_s - before_s, 1e-3)
        latencies = Latencies()
        for one in reports:
            latencies.merge(one.latencies)
        p95_s = latencies.percentile_s(95) or 0.0
        return (
            f"{phase}: {connected}/{boxes} up, {sum(r.keyed for r in reports)} keyed, "
            f"{tally.acked} of {tally.published} acknowledged ({rate:.0f}/s), "
            f"p95 {p95_s:.2f} s, {tally.reconnects} reconnects, {tally.resent} sent again"
        )
