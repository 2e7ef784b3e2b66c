"""Cases that wait for a search at the same time share one scan of the gallery."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final

from controller.services.match import Matcher, Progress
from controller.services.match_found import Found, MatchRequest

MAX_TOGETHER: Final = 16
"""Cases in one scan; more wait for the next one."""
PROGRESS_EVERY_S: Final = 1.0


@dataclass(slots=True)
class _Waiting:
    request: MatchRequest
    progress: Progress
    answer: Future[Found] = field(default_factory=Future)


class SharedMatcher:
    """Runs one scan at a time; who comes while one runs shares the next.

    The thread that finds nobody scanning does it for all who wait; no thread of its own.
    """

    def __init__(self, matcher: Matcher, stopping: Callable[[], bool] = lambda: False) -> None:
        self._matcher, self._stopping = matcher, stopping
        self._lock = threading.Lock()
        self._waiting: list[_Waiting] = []
        self._scanning = False

    def match(self, request: MatchRequest, progress: Progress = lambda _done, _all: None) -> Found:
        """Return what `Matcher.match` would; raises what the scan raised."""
        mine = _Waiting(request, progress)
        with self._lock:
            self._waiting.append(mine)
            lead, self._scanning = not self._scanning, True
        if lead:
            self._scan_all()
        return mine.answer.result()

    def _scan_all(self) -> None:
        while True:
            with self._lock:
                group = self._waiting[:MAX_TOGETHER]
                del self._waiting[:MAX_TOGETHER]
                if not group:
                    self._scanning = False
                    return
            self._scan(group)

    def _scan(self, group: list[_Waiting]) -> None:
        try:
            found = self._matcher.match_all(
                [one.request for one in group],
                progress=_seldom(group), cancelled=self._stopping,
            )  # fmt: skip
        except BaseException as error:  # noqa: BLE001 - every case that waits must hear of it
            for one in group:
                one.answer.set_exception(error)
            return
        for one, result in zip(group, found, strict=True):
            one.answer.set_result(result)


def _seldom(group: list[_Waiting]) -> Progress:
    due_s = 0.0

    def tell(done: int, total: int) -> None:
        nonlocal due_s
        if time.monotonic() < due_s and done < total:
            return
        due_s = time.monotonic() + PROGRESS_EVERY_S
        for one in group:
            one.progress(done, total)

    return tell
