"""The MQTT link: birth and will, delivery of the spool, and what comes in.

Rules:
 1. A TLS failure is fatal; there is no plaintext fallback.
 2. A broker that cannot be reached is tried again for ever, with a bounded backoff.
 3. A spooled message leaves the spool only after the controller's signed acknowledgement; PUBACK
    means nothing here. What is not acknowledged is sent again: after every reconnect, and after
    `RESEND_AFTER_S` without progress.
 4. At most `WINDOW` messages of a stream are unacknowledged in flight.
"""

import logging
import queue
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import paho.mqtt.client as mqtt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from agent.config import BrokerSection
from agent.errors import AgentError
from agent.identity import DeviceIdentity
from agent.logs import facts
from agent.store import Store
from wire.errors import WireError
from wire.messages import Ack, AgentState, Health
from wire.signing import sign, verify
from wire.topics import agent_topic, parse_topic

log = logging.getLogger("agent.link")

WINDOW: Final = 32
RESEND_AFTER_S: Final = 20.0
KEEPALIVE_S: Final = 30
MAX_BACKOFF_S: Final = 60
INBOX_LIMIT: Final = 256
"""Queries and key deliveries that wait to be worked on; more are dropped and counted (the
controller sends a query again, and keys are retained)."""
STREAMS: Final = ("sightings", "replies")


class LinkFailed(AgentError):
    """The link cannot work with this configuration."""


@dataclass(slots=True)
class _Flow:
    sent_seq: int = 0
    acked_seq: int = 0
    progress_s: float = field(default_factory=time.monotonic)


class Link:
    """Keeps this agent connected and its spool delivered."""

    def __init__(
        self,
        *,
        broker: BrokerSection,
        identity: DeviceIdentity,
        controller: Ed25519PublicKey,
        store: Store,
        make_state: Callable[[bool, int], AgentState],
    ) -> None:
        self._identity, self._controller, self._store = identity, controller, store
        self._broker, self._make_state = broker, make_state
        self._flows = {stream: _Flow() for stream in STREAMS}
        self._lock = threading.Lock()
        self.inbox: queue.Queue[tuple[str, bytes]] = queue.Queue(INBOX_LIMIT)
        self.dropped_total = 0
        self.fatal: LinkFailed | None = None
        self._connected = threading.Event()
        self._client = self._make_client()

    @property
    def connected(self) -> bool:
        """Tell whether the broker has accepted this agent."""
        return self._connected.is_set()

    def start(self) -> None:
        """Connect in the background and keep connecting."""
        self._bd_seq = self._store.next_birth()
        topic = agent_topic(self._identity.agent_id, "state")
        self._client.will_set(topic, self._signed_state(online=False), qos=1, retain=True)
        try:
            self._client.connect(self._broker.host, self._broker.port, KEEPALIVE_S)
        except ssl.SSLError as error:
            raise LinkFailed(_tls_message(error)) from None
        except OSError as error:
            log.warning("broker unreachable", extra=facts(reason=str(error)))
            self._client.connect_async(self._broker.host, self._broker.port, KEEPALIVE_S)
        self._client.loop_start()

    def stop(self) -> None:
        """Say goodbye (retained death) and disconnect."""
        if self.connected:
            topic = agent_topic(self._identity.agent_id, "state")
            sent = self._client.publish(topic, self._signed_state(online=False), 1, True)
            try:
                sent.wait_for_publish(3.0)
            except (RuntimeError, ValueError):
                log.warning("death not published")
        self._client.disconnect()
        self._client.loop_stop()

    def publish_health(self, health: Health) -> None:
        """Publish health; not spooled, the next one replaces it."""
        if self.connected:
            topic = agent_topic(self._identity.agent_id, "health")
            self._client.publish(topic, sign(health, self._identity.signing), qos=0)

    def pump(self) -> None:
        """Send what the spool holds, within the window; call often."""
        if not self.connected:
            return
        for stream, flow in self._flows.items():
            with self._lock:
                self._pump_stream(stream, flow)

    def _pump_stream(self, stream: str, flow: _Flow) -> None:
        stalled = time.monotonic() - flow.progress_s > RESEND_AFTER_S
        if stalled and flow.sent_seq > flow.acked_seq:
            log.warning("resending", extra=facts(stream=stream, after_seq=flow.acked_seq))
            flow.sent_seq = flow.acked_seq
            flow.progress_s = time.monotonic()
        room = WINDOW - (flow.sent_seq - flow.acked_seq)
        if room <= 0:
            return
        for entry in self._store.pending(stream, flow.sent_seq, room):
            if flow.sent_seq == flow.acked_seq:
                # Nothing is in flight: all below this entry was acknowledged in an earlier run.
                flow.acked_seq = entry.seq - 1
                flow.progress_s = time.monotonic()
            self._client.publish(entry.topic, entry.payload, qos=1)
            flow.sent_seq = entry.seq

    def _make_client(self) -> mqtt.Client:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2, self._identity.agent_id, clean_session=False
        )
        if self._broker.username is not None:
            client.username_pw_set(self._broker.username, _password(self._broker))
        if self._broker.tls:
            _use_tls(client, self._broker)
        client.reconnect_delay_set(1, MAX_BACKOFF_S)
        client.max_queued_messages_set(4 * WINDOW)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_connect_fail = self._on_connect_fail
        return client

    def _on_connect(
        self, client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:  # fmt: skip
        if reason.is_failure:
            self.fatal = LinkFailed(
                f"broker {self._broker.host}: refuses this agent ({reason}); "
                "check the certificate, user and access list"
            )
            return
        agent_id = self._identity.agent_id
        client.subscribe([(agent_topic(agent_id, k), 1) for k in ("queries", "acks", "keys")])
        client.publish(agent_topic(agent_id, "state"), self._signed_state(online=True), 1, True)
        with self._lock:
            for flow in self._flows.values():
                flow.sent_seq = flow.acked_seq
        self._connected.set()
        log.info("connected", extra=facts(host=self._broker.host, bd_seq=self._bd_seq))

    def _on_connect_fail(self, _client: mqtt.Client, _data: Any) -> None:
        # paho swallows the reason; a second look tells a TLS refusal from a sleeping broker.
        if self._broker.tls and (reason := probe_tls(self._broker)):
            self.fatal = LinkFailed(reason)

    def _on_disconnect(
        self, client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:  # fmt: skip
        self._connected.clear()
        log.info("disconnected", extra=facts(reason=str(reason)))
        # The will of the next connection must carry the next birth's number.
        self._bd_seq = self._store.next_birth()
        topic = agent_topic(self._identity.agent_id, "state")
        client.will_set(topic, self._signed_state(online=False), qos=1, retain=True)

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        try:
            kind = parse_topic(message.topic).kind
        except WireError:
            return
        if kind == "acks":
            self._on_ack(bytes(message.payload))
            return
        try:
            self.inbox.put_nowait((kind, bytes(message.payload)))
        except queue.Full:
            self.dropped_total += 1
            log.error("inbox full", extra=facts(kind=kind, dropped_total=self.dropped_total))

    def _on_ack(self, payload: bytes) -> None:
        try:
            ack = verify(Ack, payload, self._controller)
        except WireError as error:
            log.warning("ack refused", extra=facts(reason=str(error)))
            return
        stream = ack.stream.value
        known = self._store.spool_ids.get(stream)
        if ack.agent_id != self._identity.agent_id or ack.spool_id != known:
            return
        self._store.acknowledge(stream, ack.acked_seq)
        with self._lock:
            flow = self._flows[stream]
            if ack.acked_seq > flow.acked_seq:
                flow.acked_seq = ack.acked_seq
                flow.sent_seq = max(flow.sent_seq, ack.acked_seq)
                flow.progress_s = time.monotonic()

    def _signed_state(self, *, online: bool) -> bytes:
        return sign(self._make_state(online, self._bd_seq), self._identity.signing)


def probe_tls(broker: BrokerSection) -> str | None:
    """Return why a TLS handshake with the broker fails; None if it succeeds or none is there."""
    import socket

    try:
        context = tls_context(broker)
        with (
            socket.create_connection((broker.host, broker.port), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname=broker.host),
        ):
            return None
    except ssl.SSLError as error:
        return _tls_message(error)
    except OSError:
        return None


def tls_context(broker: BrokerSection) -> ssl.SSLContext:
    """Build the TLS context of the configuration; raises `LinkFailed` for unreadable files."""
    try:
        context = ssl.create_default_context(cafile=str(broker.ca_file))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if broker.cert_file is not None:
            context.load_cert_chain(str(broker.cert_file), str(broker.key_file))
    except (OSError, ssl.SSLError) as error:
        raise LinkFailed(
            f"broker.ca_file/cert_file/key_file: cannot be loaded ({error}); provision again"
        ) from None
    return context


def _use_tls(client: mqtt.Client, broker: BrokerSection) -> None:
    client.tls_set_context(tls_context(broker))


def _password(broker: BrokerSection) -> str | None:
    if broker.password_file is None:
        return None
    try:
        return broker.password_file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise LinkFailed(f"broker.password_file: {error.strerror}; provision again") from None


def _tls_message(error: ssl.SSLError) -> str:
    return (
        f"broker TLS: {error.reason or error}; check broker.ca_file and the certificate "
        "(there is no plaintext fallback)"
    )
