"""Incremental decoder of what a broker sends to a box; holds at most one unfinished packet."""

import struct
from collections.abc import Callable
from typing import Final

from sim.load import packets as p
from sim.load.packets import MqttError, Packet

MAX_PACKET_BYTES: Final = 300 * 1024
"""The contract's 256 KiB message with its topic; a longer packet ends the connection."""
_LENGTH_BYTES: Final = 4


class Decoder:
    """Turns a byte stream, cut anywhere, into packets; keeps nothing between whole packets.

    Bounded: a packet longer than `limit` bytes is an `MqttError` as soon as its length is known.
    """

    __slots__ = ("_limit", "_rest")

    def __init__(self, limit: int = MAX_PACKET_BYTES) -> None:
        self._rest = b""
        self._limit = limit

    @property
    def held_bytes(self) -> int:
        """How many bytes of an unfinished packet are held."""
        return len(self._rest)

    def feed(self, data: bytes) -> list[Packet]:
        """Return the packets that `data` completes; raises `MqttError` if it is no MQTT."""
        buffer = self._rest + data if self._rest else data
        found: list[Packet] = []
        at = 0
        while (body := self._body(buffer, at)) is not None:
            start, end = body
            found.append(_packet(buffer[at], buffer[start:end]))
            at = end
        self._rest = buffer[at:]
        return found

    def _body(self, buffer: bytes, at: int) -> tuple[int, int] | None:
        """Return where the body of the packet at `at` begins and ends, if it is all there."""
        length = 0
        for place in range(_LENGTH_BYTES):
            index = at + 1 + place
            if index >= len(buffer):
                return None
            length |= (buffer[index] & 0x7F) << 7 * place
            if length > self._limit:
                raise MqttError(
                    f"packet: {length} bytes > {self._limit}; the broker sends too much"
                )
            if buffer[index] < 0x80:
                end = index + 1 + length
                return (index + 1, end) if end <= len(buffer) else None
        raise MqttError("packet: the length has more than four bytes; is this an MQTT broker?")


def _packet(first: int, body: bytes) -> Packet:
    kind, flags = first >> 4, first & 0x0F
    if kind == p.PUBLISH:
        return _publish(flags, body)
    read = _READERS.get(kind)
    if read is None or flags:
        raise MqttError(f"packet: type {kind} with flags {flags} is not for a box")
    return read(body)


def _publish(flags: int, body: bytes) -> p.Publish:
    qos = flags >> 1 & 3
    if qos > 1:
        raise MqttError(f"PUBLISH: QoS {qos} was never asked for")
    topic_end = 2 + _number(body, 0, "PUBLISH")
    start = topic_end + 2 if qos else topic_end
    if start > len(body):
        raise MqttError("PUBLISH: ends inside its topic")
    try:
        topic = body[2:topic_end].decode()
    except UnicodeDecodeError:
        raise MqttError("PUBLISH: the topic is not UTF-8") from None
    packet_id = _number(body, topic_end, "PUBLISH") if qos else 0
    return p.Publish(topic, body[start:], qos, bool(flags & 1), bool(flags & 8), packet_id)


def _connack(body: bytes) -> p.Connack:
    if len(body) != 2 or body[0] > 1:
        raise MqttError("CONNACK: must have two bytes, the first 0 or 1")
    return p.Connack(body[0] == 1, body[1])


def _puback(body: bytes) -> p.Puback:
    if len(body) != 2:
        raise MqttError("PUBACK: must have two bytes")
    return p.Puback(_number(body, 0, "PUBACK"))


def _suback(body: bytes) -> p.Suback:
    if len(body) < 3:
        raise MqttError("SUBACK: has no code")
    return p.Suback(_number(body, 0, "SUBACK"), body[2:])


def _pingresp(body: bytes) -> p.Pingresp:
    if body:
        raise MqttError("PINGRESP: must be empty")
    return p.Pingresp()


def _number(body: bytes, at: int, name: str) -> int:
    if len(body) < at + 2:
        raise MqttError(f"{name}: is too short")
    return int(struct.unpack_from("!H", body, at)[0])


_READERS: Final[dict[int, Callable[[bytes], Packet]]] = {
    p.CONNACK: _connack,
    p.PUBACK: _puback,
    p.SUBACK: _suback,
    p.PINGRESP: _pingresp,
}
