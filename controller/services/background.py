"""Investigations in the background: a few at a time, each with its outcome noted."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final
from uuid import UUID

from controller.errors import ControllerError
from controller.services.cases import CaseService
from controller.services.refusals import Refusal
from wire.errors import WireError

_LOG: Final = logging.getLogger(__name__)
WORKERS: Final = 10
"""Mostly waiting for agents; those that match at the same time share one scan."""


class BackgroundInvestigator:
    """Ten investigations run at a time; more wait (one per live case at most)."""

    def __init__(self, cases: CaseService, investigate: Callable[[UUID], None]) -> None:
        self._cases = cases
        self._investigate = investigate
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="investigate")

    def start(self, case_id: UUID) -> None:
        """Queue the investigation of a case that was claimed with `CaseService.begin`."""
        self._pool.submit(self._run, case_id)

    def stop(self) -> None:
        """Take no more and wait for those that run (stop the asking service first)."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self, case_id: UUID) -> None:
        fault = "stopped by a programming error; see the controller's log"
        try:
            self._investigate(case_id)
            fault = ""
        except (ControllerError, WireError) as error:
            fault = " ".join(str(error).split())
            _LOG.warning("event=investigation_ended case=%s why=%s", case_id, fault)
        except Exception:  # noqa: BLE001 - the case must say how it ended
            _LOG.exception("event=investigation_failed case=%s", case_id)
        finally:
            try:
                self._cases.finish(case_id, fault=fault)
            except (Refusal, ControllerError) as error:
                _LOG.error("event=outcome_not_noted case=%s error=%s", case_id, error)
