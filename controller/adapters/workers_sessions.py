"""Forgetting the broker's sessions of workers that are no longer wanted.

A persistent session of the shared subscription goes on taking its share of the messages although
nobody reads it. Agents would send them again, but late.
"""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from controller.adapters.broker import password_of, tls_of
from controller.config import BrokerSection
from controller.logs import facts

log = logging.getLogger("controller.workers")
RETRY_S: Final = 10.0
_ANSWER_S: Final = 10.0


class Sessions:
    """Remembers in a file how many workers had sessions, and forgets those beyond `wanted`."""

    def __init__(
        self, path: Path, section: BrokerSection, client_id: Callable[[int], str], wanted: int
    ) -> None:
        self._path, self._section, self._client_id = path, section, client_id
        self._wanted = wanted
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sessions", daemon=True)

    def start(self) -> None:
        """Note how many there are now, and forget the others in the background."""
        before = self._noted()
        self._note(max(before, self._wanted))
        if before > self._wanted:
            self._thread.start()

    def stop(self) -> None:
        """Give up; the next start tries again."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                for number in range(self._wanted, self._noted()):
                    self._forget(self._client_id(number))
                self._note(self._wanted)
                return
            except OSError as error:
                log.warning("sessions not forgotten", extra=facts(why=str(error)))
                self._stop.wait(RETRY_S)

    def _forget(self, client_id: str) -> None:
        answered = threading.Event()
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id, clean_session=True)
        client.on_connect = lambda *_: answered.set()
        if self._section.username is not None:
            client.username_pw_set(self._section.username, password_of(self._section))
        tls = tls_of(self._section)
        if tls is not None:
            client.tls_set_context(tls)
        client.connect(self._section.host, self._section.port)
        client.loop_start()
        try:
            if not answered.wait(_ANSWER_S):
                raise TimeoutError(f"the broker did not answer {client_id}")
        finally:
            client.disconnect()
            client.loop_stop()

    def _noted(self) -> int:
        try:
            return int(self._path.read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            return 0

    def _note(self, count: int) -> None:
        self._path.write_text(f"{count}\n", encoding="ascii")
