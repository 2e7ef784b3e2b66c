"""One box's MQTT session over a transport: will, birth, subscriptions, keepalive, reconnects."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np

from sim.light.agent import Outgoing
from sim.load import packets as p
from sim.load.box import Box
from sim.load.decoder import Decoder
from sim.load.packets import Login, MqttError, Will
from sim.load.spool import Batch
from sim.load.tally import Tally
from sim.load.transport import Poller, Target, Transport, TransportLost

_LOG: Final = logging.getLogger(__name__)
CONNECT_TIMEOUT_S: Final = 30.0
FIRST_BACKOFF_S: Final = 1.0
LONGEST_BACKOFF_S: Final = 30.0
_PING_AFTER: Final = 0.75
_SILENT_AFTER: Final = 1.75
_REFUSED: Final = 0x80


class Phase(IntEnum):
    """How far a connection is."""

    DOWN = 0
    OPENING = 1
    GREETING = 2
    SUBSCRIBING = 3
    UP = 4


@dataclass(frozen=True, slots=True)
class Line:
    """What the connections of one process share; `clock_s` is monotonic, `clock_us` is UTC."""

    target: Target
    poller: Poller
    tally: Tally
    rng: np.random.Generator
    clock_s: Callable[[], float]
    clock_us: Callable[[], int]
    keepalive_s: int = 60
    login: Login | None = None


class Connection:
    """Keeps one box connected with a persistent session until `close`.

    A lost connection is tried again after 1 s, then twice as long each time up to 30 s, each
    time a random half less or more.
    """

    __slots__ = ("_backoff_s", "_closing", "_decoder", "_heard_s", "_line", "_next_id", "_number",
                 "_opened_s", "_retry_s", "_sent_s", "_transport", "_was_up", "box",
                 "phase")  # fmt: skip

    def __init__(self, box: Box, line: Line, number: int, first_s: float) -> None:
        self.box: Final = box
        self.phase = Phase.DOWN
        self._line, self._number = line, number
        self._transport: Transport | None = None
        self._decoder = Decoder()
        self._retry_s = first_s
        self._backoff_s = FIRST_BACKOFF_S
        self._opened_s = self._sent_s = self._heard_s = 0.0
        self._next_id = 0
        self._was_up = self._closing = False

    @property
    def up(self) -> bool:
        """Whether the broker has accepted it and its subscriptions."""
        return self.phase is Phase.UP

    @property
    def gone(self) -> bool:
        """Whether no socket is open."""
        return self._transport is None

    def tick(self, now_s: float) -> None:
        """Do what time asks for; call about once a second."""
        if self._closing and self._transport is None:
            return
        if self.phase is Phase.DOWN:
            if now_s >= self._retry_s:
                self._open(now_s)
        elif self.phase is not Phase.UP:
            if now_s - self._opened_s > CONNECT_TIMEOUT_S:
                self._lost("no answer")
        elif now_s - self._heard_s > _SILENT_AFTER * self._line.keepalive_s:
            self._lost("silent")
        elif now_s - self._sent_s > _PING_AFTER * self._line.keepalive_s:
            self._write(p.PINGREQ_BYTES)

    def handle(self) -> None:
        """Act on epoll's word that something happened on the socket."""
        transport = self._transport
        if transport is None:
            return
        try:
            if not transport.open:
                if transport.advance():
                    self._greet()
                return
            transport.flush()
            self._read(transport)
        except (TransportLost, MqttError) as error:
            self._lost(str(error))

    def pump(self, now_s: float) -> None:
        """Publish what the box has due, as long as there is room; nothing before it is up."""
        if self.phase is Phase.UP and self._has_room():
            for message, batch in self.box.due(now_s):
                if self.phase is not Phase.UP:
                    # Lost while writing: the next birth makes all of it due again.
                    return
                if batch is not None:
                    self._count(batch, now_s)
                self.publish(message)

    def publish(self, message: Outgoing) -> None:
        """Publish with QoS 1 now; nothing while it is not up."""
        if self.phase is Phase.UP:
            self._write(self._publish_bytes(message))

    def drop(self) -> None:
        """Break the connection as a power cut would: the broker publishes the will."""
        if self._transport is not None:
            self._line.tally.storm_drops += 1
            self._down(abort=True)
            # Even from a warm start not all come back in the same moment.
            self._retry_s = self._line.clock_s() + self._backoff_s * float(self._line.rng.random())

    def close(self) -> None:
        """Publish the death, say DISCONNECT, and stay down."""
        self._closing = True
        if self.phase is Phase.UP:
            self.publish(self.box.death(self._line.clock_us()))
            self._write(p.DISCONNECT_BYTES)
        elif self._transport is not None:
            self._down(abort=True)

    def abandon(self) -> None:
        """Close the socket without a word, at the very end."""
        self._closing = True
        if self._transport is not None:
            self._down(abort=False)

    def _open(self, now_s: float) -> None:
        self._opened_s = now_s
        self._decoder = Decoder()
        try:
            self._transport = Transport(self._line.target, self._line.poller, self, self._number)
        except TransportLost as error:
            self._lost(str(error))
        else:
            self.phase = Phase.OPENING

    def _greet(self) -> None:
        will = self.box.next_will(self._line.clock_us())
        login = self._line.login
        if login is not None:
            login = Login(login.username.replace("{agent}", self.box.agent_id), login.password)
        self.phase = Phase.GREETING
        self._write(
            p.connect(
                self.box.agent_id,
                keepalive_s=self._line.keepalive_s,
                will=Will(will.topic, will.payload),
                login=login,
            )
        )

    def _read(self, transport: Transport) -> None:
        while data := transport.receive():
            self._heard_s = self._line.clock_s()
            self._line.tally.bytes_in += len(data)
            for packet in self._decoder.feed(data):
                self._take(packet)
                if self._transport is not transport:
                    return
            if transport.was_last(data):
                return

    def _take(self, packet: p.Packet) -> None:
        if isinstance(packet, p.Publish):
            self.box.receive(
                packet.topic, packet.payload, self._line.clock_s(), self._line.clock_us()
            )
            if packet.qos:
                self._write(p.puback(packet.packet_id))
            self.pump(self._line.clock_s())
        elif isinstance(packet, p.Puback):
            self._line.tally.pubacks += 1
        elif isinstance(packet, p.Connack):
            self._accepted(packet)
        elif isinstance(packet, p.Suback):
            self._subscribed(packet)

    def _accepted(self, answer: p.Connack) -> None:
        if answer.code:
            self._line.tally.refused_connects += 1
            _LOG.warning("event=refused agent=%s code=%d", self.box.agent_id, answer.code)
            self._lost(f"refused with code {answer.code}")
            return
        self.phase = Phase.SUBSCRIBING
        birth = self.box.birth(self._line.clock_us())
        topics = p.subscribe(self._packet_id(), self.box.subscriptions)
        self._write(topics + self._publish_bytes(birth))

    def _subscribed(self, answer: p.Suback) -> None:
        if _REFUSED in answer.codes:
            self._line.tally.refused_subscriptions += 1
            _LOG.warning("event=subscription_refused agent=%s", self.box.agent_id)
        self.phase = Phase.UP
        self._backoff_s = FIRST_BACKOFF_S
        self._line.tally.reconnects += self._was_up
        self._was_up = True
        self.pump(self._line.clock_s())

    def _publish_bytes(self, message: Outgoing) -> bytes:
        return p.publish(
            p.Publish(
                message.topic, message.payload, 1, message.retain, packet_id=self._packet_id()
            )
        )

    def _packet_id(self) -> int:
        # Delivery is end to end, so a number is free again long before 65,535 others were used.
        self._next_id = self._next_id % 65_535 + 1
        return self._next_id

    def _count(self, batch: Batch, now_s: float) -> None:
        tally = self._line.tally
        if batch.sent_s is None:
            batch.sent_s = now_s
            tally.batches += 1
            tally.published += batch.count
        else:
            tally.resent += 1

    def _has_room(self) -> bool:
        return self._transport is not None and self._transport.has_room

    def _write(self, data: bytes) -> None:
        transport = self._transport
        if transport is None:
            return
        self._sent_s = self._line.clock_s()
        self._line.tally.bytes_out += len(data)
        try:
            transport.send(data)
        except TransportLost as error:
            self._lost(str(error))

    def _lost(self, why: str) -> None:
        if self.phase is Phase.UP:
            self._line.tally.lost_connections += not self._closing
        else:
            self._line.tally.failed_connects += 1
        _LOG.debug("event=lost agent=%s why=%s", self.box.agent_id, why)
        self._down(abort=False)
        jitter = 0.5 + float(self._line.rng.random())
        self._retry_s = self._line.clock_s() + self._backoff_s * jitter
        self._backoff_s = min(2.0 * self._backoff_s, LONGEST_BACKOFF_S)

    def _down(self, *, abort: bool) -> None:
        self.phase = Phase.DOWN
        if self._transport is not None:
            self._transport.close(abort=abort)
            self._transport = None
