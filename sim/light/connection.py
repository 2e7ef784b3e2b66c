"""One paho MQTT connection driven from outside: no thread, a selector tells when to act."""

import logging
import selectors
from collections.abc import Callable
from typing import Any, Final

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from sim.light.agent import LightAgent, Outgoing

_LOG: Final = logging.getLogger(__name__)
_KEEPALIVE_S: Final = 60
_FIRST_BACKOFF_S: Final = 0.5
_LONGEST_BACKOFF_S: Final = 15.0

ClockUs = Callable[[], int]


class Connection:
    """Keeps one light agent connected: persistent session, will, birth, bounded backoff.

    `jitter`: 0..1, spreads the reconnects of many agents. Nothing is handed to paho while the
    connection is down, so its memory queue never holds more than what is in flight.
    """

    def __init__(
        self,
        agent: LightAgent,
        address: tuple[str, int],
        selector: selectors.BaseSelector,
        clock_us: ClockUs,
        *,
        jitter: float,
    ) -> None:
        self.agent: Final = agent
        self.connected = False
        self._address = address
        self._selector = selector
        self._clock_us = clock_us
        self._jitter = jitter
        self._backoff_s = _FIRST_BACKOFF_S
        self._retry_at_s = 0.0
        self._socket: Any = None
        self._client = self._make_client()

    def _make_client(self) -> mqtt.Client:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self.agent.identity.agent_id,
            clean_session=False,
        )
        client.connect_timeout = 2.0
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_socket_open = self._on_socket_open
        client.on_socket_close = self._on_socket_close
        client.on_socket_register_write = self._watch_write
        client.on_socket_unregister_write = self._unwatch_write
        return client

    def tick(self, now_s: float) -> None:
        """Do what time asks for: connect again, keep alive, publish what is due."""
        if self._socket is None:
            if now_s >= self._retry_at_s:
                self._open(now_s)
            return
        self._client.loop_misc()
        if self.connected:
            for message in self.agent.due(now_s, self._clock_us()):
                self._publish(message)

    def ready(self, mask: int) -> None:
        """Act on the selector's word: the socket can be read or written."""
        if mask & selectors.EVENT_READ:
            self._client.loop_read()
        if mask & selectors.EVENT_WRITE and self._socket is not None:
            self._client.loop_write()

    def close(self) -> None:
        """Say goodbye with a retained offline state and disconnect."""
        if self.connected:
            self._publish(self.agent.death(self._clock_us()))
            self._client.disconnect()

    @property
    def idle(self) -> bool:
        """Whether there is nothing left to write and no socket open."""
        return self._socket is None

    def _open(self, now_s: float) -> None:
        will = self.agent.next_will(self._clock_us())
        self._client.will_set(will.topic, will.payload, qos=1, retain=True)
        self._retry_at_s = now_s + self._backoff_s * (0.5 + self._jitter)
        self._backoff_s = min(self._backoff_s * 2.0, _LONGEST_BACKOFF_S)
        try:
            self._client.connect(*self._address, keepalive=_KEEPALIVE_S)
        except OSError as error:
            _LOG.info("event=unreachable agent=%s why=%s", self.agent.identity.agent_id, error)

    def _publish(self, message: Outgoing) -> None:
        self._client.publish(message.topic, message.payload, qos=1, retain=message.retain)

    def _on_connect(self, client: mqtt.Client, _data: Any, _flags: Any, code: Any, _p: Any) -> None:
        if code.is_failure:
            _LOG.warning("event=refused agent=%s why=%s", self.agent.identity.agent_id, code)
            return
        self.connected = True
        self._backoff_s = _FIRST_BACKOFF_S
        client.subscribe(self.agent.subscriptions)
        self._publish(self.agent.birth(self._clock_us()))

    def _on_disconnect(self, _c: Any, _data: Any, _flags: Any, code: Any, _p: Any) -> None:
        self.connected = False
        if code.is_failure:
            _LOG.info("event=disconnected agent=%s why=%s", self.agent.identity.agent_id, code)

    def _on_message(self, _client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        self.agent.receive(message.topic, bytes(message.payload), self._clock_us())

    def _on_socket_open(self, _client: Any, _data: Any, sock: Any) -> None:
        self._socket = sock
        self._selector.register(sock, selectors.EVENT_READ, self)

    def _on_socket_close(self, _client: Any, _data: Any, sock: Any) -> None:
        self._selector.unregister(sock)
        self._socket = None
        self.connected = False

    def _watch_write(self, _client: Any, _data: Any, sock: Any) -> None:
        self._selector.modify(sock, selectors.EVENT_READ | selectors.EVENT_WRITE, self)

    def _unwatch_write(self, _client: Any, _data: Any, sock: Any) -> None:
        self._selector.modify(sock, selectors.EVENT_READ, self)
