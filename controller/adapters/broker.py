"""The controller's MQTT connection: persistent session, manual acknowledgement, strict TLS."""

import logging
import ssl
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from controller.config import BrokerSection, ConfigInvalid
from controller.errors import ControllerError
from controller.logs import facts
from controller.services.ports import Delivery

log = logging.getLogger("controller.broker")
KEEPALIVE_S: Final = 30
MAX_BACKOFF_S: Final = 30
MAX_OUTGOING: Final = 20_000
"""Outgoing messages that wait for the broker; more are refused by paho and logged. Acks are
cumulative and sent again, keys and queries are sent again, so none is lost for good."""


class BrokerFailed(ControllerError):
    """The broker cannot be used with this configuration."""


class Broker:
    """One connection; messages are handed to `on_delivery` and settled by whoever handled them.

    `unwanted`: subscriptions that an earlier run with the same session may have left.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        client_id: str,
        tls: ssl.SSLContext | None,
        username: str | None = None,
        password: str | None = None,
        subscriptions: Sequence[str],
        unwanted: Sequence[str] = (),
        on_delivery: Callable[[Delivery], None],
        on_connected: Callable[[], None] = lambda: None,
        on_disconnected: Callable[[], None] = lambda: None,
    ) -> None:
        self._host, self._port = host, port
        self._subscriptions = [(topic, 1) for topic in subscriptions]
        self._unwanted = list(unwanted)
        self._session = 0
        self._on_delivery, self._on_connected = on_delivery, on_connected
        self._on_disconnected = on_disconnected
        self._connected = threading.Event()
        self.fatal: BrokerFailed | None = None
        self._tls = tls
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id, clean_session=False, manual_ack=True
        )
        if username is not None:
            self._client.username_pw_set(username, password)
        if tls is not None:
            self._client.tls_set_context(tls)
        self._client.reconnect_delay_set(1, MAX_BACKOFF_S)
        self._client.max_queued_messages_set(MAX_OUTGOING)
        self._client.max_inflight_messages_set(1000)
        self._client.on_connect = self._connect_done
        self._client.on_connect_fail = self._connect_failed
        self._client.on_disconnect = self._disconnect_done
        self._client.on_message = self._message_came

    @property
    def connected(self) -> bool:
        """Tell whether the broker has accepted this controller."""
        return self._connected.is_set()

    def connect(self) -> None:
        """Connect in the background and stay connected; a TLS failure is fatal."""
        try:
            self._client.connect(self._host, self._port, KEEPALIVE_S)
        except OSError as error:
            if _is_tls_failure(error):
                raise _tls_failed(error) from None
            log.warning("broker unreachable", extra=facts(reason=str(error)))
            self._client.connect_async(self._host, self._port, KEEPALIVE_S)
        self._client.loop_start()

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Queue a message at QoS 1; it is sent when the broker is there."""
        result = self._client.publish(topic, payload, qos=1, retain=retain)
        if result.rc == mqtt.MQTT_ERR_QUEUE_SIZE:
            log.error("outgoing queue full", extra=facts(topic=topic))

    def stop(self) -> None:
        """Disconnect; the broker keeps the session and what comes meanwhile."""
        self._client.disconnect()
        self._client.loop_stop()

    def _connect_done(
        self, client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:  # fmt: skip
        if reason.is_failure:
            self.fatal = BrokerFailed(
                f"broker {self._host}: refuses the controller ({reason}); check user and access"
            )
            return
        self._session += 1
        if self._unwanted:
            client.unsubscribe(self._unwanted)
        if self._subscriptions:
            client.subscribe(self._subscriptions)
        self._connected.set()
        log.info("connected", extra=facts(host=self._host, port=self._port))
        self._on_connected()

    def _connect_failed(self, client: mqtt.Client, _data: Any) -> None:
        # paho swallows the reason of a later attempt, but calls this while it is being handled.
        reason = sys.exc_info()[1]
        if reason is not None and _is_tls_failure(reason):
            self.fatal = _tls_failed(reason)
            log.error("TLS failed", extra=facts(reason=str(self.fatal)))
            client.disconnect()

    def _disconnect_done(
        self, _client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:  # fmt: skip
        self._connected.clear()
        log.info("disconnected", extra=facts(reason=str(reason)))
        self._on_disconnected()

    def _message_came(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        settle = partial(self._settle, self._session, message.mid, message.qos)
        self._on_delivery(Delivery(message.topic, bytes(message.payload), settle))

    def _settle(self, session: int, mid: int, qos: int) -> None:
        # The broker sends again what an earlier connection left open, perhaps with other numbers:
        # a late PUBACK could settle a message that is not durable.
        if session == self._session:
            self._client.ack(mid, qos)


class TwoWayBroker:
    """One connection that takes messages and one that sends: neither holds up the other.

    Taking stands still while ingest is full, on purpose; acknowledgements must go out all the
    same, or agents send again what is durable already.
    """

    def __init__(self, taking: Broker, sending: Broker) -> None:
        self._taking, self._sending = taking, sending

    @property
    def connected(self) -> bool:
        """Tell whether the broker has accepted both connections."""
        return self._taking.connected and self._sending.connected

    @property
    def fatal(self) -> BrokerFailed | None:
        """Return why the broker cannot be used at all, if so."""
        return self._taking.fatal or self._sending.fatal

    def connect(self) -> None:
        """Connect both in the background, the sending one first; a TLS failure is fatal."""
        self._sending.connect()
        self._taking.connect()

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Queue a message at QoS 1; it is sent when the broker is there."""
        self._sending.publish(topic, payload, retain=retain)

    def stop(self) -> None:
        """Disconnect, the sending one last."""
        self._taking.stop()
        self._sending.stop()


def _is_tls_failure(error: BaseException) -> bool:
    # A peer that hangs up in the handshake may be a broker that is just going down.
    return isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError)


def _tls_failed(error: BaseException) -> BrokerFailed:
    return BrokerFailed(
        f"broker TLS: {getattr(error, 'reason', error)}; check broker.ca_file and the certificate "
        "(there is no plaintext fallback)"
    )


def connection(
    section: BrokerSection, *, client_id: str, subscriptions: Sequence[str],
    unwanted: Sequence[str] = (), on_delivery: Callable[[Delivery], None],
    on_connected: Callable[[], None] = lambda: None,
    on_disconnected: Callable[[], None] = lambda: None,
) -> Broker:  # fmt: skip
    """Return a connection as configured, not connected yet; raises a `ControllerError`."""
    return Broker(
        host=section.host,
        port=section.port,
        client_id=client_id,
        tls=tls_of(section),
        username=section.username,
        password=password_of(section),
        subscriptions=subscriptions,
        unwanted=unwanted,
        on_delivery=on_delivery,
        on_connected=on_connected,
        on_disconnected=on_disconnected,
    )


def tls_of(section: BrokerSection) -> ssl.SSLContext | None:
    """Return the TLS context of a broker, None for a plain connection."""
    if not section.tls:
        return None
    return tls_context(section.ca_file, section.cert_file, section.key_file)


def password_of(section: BrokerSection) -> str | None:
    """Return the broker's password from its file, if there is one."""
    if section.password_file is None:
        return None
    try:
        return section.password_file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigInvalid(
            f"broker.password_file: cannot read {section.password_file} ({error.strerror}); "
            "mend its path or mode"
        ) from None


def tls_context(
    ca_file: Path | None, cert_file: Path | None, key_file: Path | None
) -> ssl.SSLContext:
    """Build a TLS context from files; raises `BrokerFailed` naming the mend."""
    try:
        context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if cert_file is not None:
            context.load_cert_chain(str(cert_file), None if key_file is None else str(key_file))
    except (OSError, ssl.SSLError) as error:
        raise BrokerFailed(f"broker certificates: cannot be loaded ({error})") from None
    return context
