"""Backups made by the running controller: in the background, one at a time, to be stopped."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol

from controller.errors import ControllerError
from controller.services.refusals import Conflict
from controller.services.stores import AuditStore
from controller.services.values import Principal

_LOG: Final = logging.getLogger(__name__)
_STOP_S: Final = 30.0
Tell = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class BackupOrder:
    """Where a backup goes, and to whom its keys are sealed; see adapters/backup."""

    directory: str
    recipient: str
    salt: str
    keep: int


@dataclass(frozen=True, slots=True)
class BackupState:
    """Where the last backup stands; `name` once it is finished, `fault` if it failed."""

    running: bool = False
    directory: str = ""
    step: str = ""
    done: int = 0
    total: int = 0
    name: str = ""
    new_bytes: int = 0
    fault: str = ""


class BackupMade(Protocol):
    """What is told of a finished backup."""

    @property
    def name(self) -> str:
        """When it was made."""

    @property
    def new_bytes(self) -> int:
        """How much was copied."""


Make = Callable[[BackupOrder, Tell, Callable[[], bool]], BackupMade]


class BackupService:
    """Runs `make` in a thread; what it does and who asked for it is audited."""

    def __init__(self, make: Make, audit: AuditStore, now_us: Callable[[], int]) -> None:
        self._make, self._audit, self._now_us = make, audit, now_us
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._state = BackupState()
        self._thread: threading.Thread | None = None

    def start(self, order: BackupOrder, who: Principal) -> BackupState:
        """Begin a backup; raises `Conflict` if one is running."""
        with self._lock:
            if self._state.running:
                raise Conflict("backup", f"one into {self._state.directory} is running; wait")
            self._note(who.name, "backup_started", order.directory)
            self._stop.clear()
            self._state = BackupState(running=True, directory=order.directory)
            self._thread = threading.Thread(
                target=self._run, args=(order, who.name), name="backup", daemon=True
            )
            self._thread.start()
            return self._state

    def state(self) -> BackupState:
        """Return where the last backup stands."""
        with self._lock:
            return self._state

    def cancel(self) -> None:
        """Stop a running backup soon; what it copied is used by the next one."""
        self._stop.set()

    def stop(self) -> None:
        """Stop, and wait until it has stopped."""
        self.cancel()
        if self._thread is not None:
            self._thread.join(timeout=_STOP_S)

    def _run(self, order: BackupOrder, who: str) -> None:
        fault = "stopped by a programming error; see the controller's log"
        try:
            made = self._make(order, self._tell, self._stop.is_set)
            self._change(name=made.name, new_bytes=made.new_bytes)
            fault = ""
            self._note(who, "backup_made", f"{made.name} in {order.directory}")
        except ControllerError as error:
            fault = str(error)
        except Exception:  # noqa: BLE001 - the state must say how it ended
            _LOG.exception("event=backup_failed")
        if fault:
            _LOG.error("event=backup_not_made why=%s", fault)
        self._change(running=False, fault=fault)

    def _tell(self, step: str, done: int, total: int) -> None:
        self._change(step=step, done=done, total=total)

    def _change(self, **changes: object) -> None:
        with self._lock:
            self._state = replace(self._state, **changes)  # type: ignore[arg-type]

    def _note(self, actor: str, action: str, detail: str) -> None:
        self._audit.append(
            at_us=self._now_us(), actor=actor, action=action, subject="backup",
            detail=detail[:512],
        )  # fmt: skip
