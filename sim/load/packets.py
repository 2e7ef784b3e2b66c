"""The MQTT 3.1.1 packets that a camera box sends, as bytes (OASIS standard, 29 October 2014)."""

import struct
from dataclasses import dataclass
from typing import Final

from sim.errors import SimError

MAX_STRING_BYTES: Final = 65_535
MAX_REMAINING: Final = 268_435_455
_PROTOCOL: Final = b"\x00\x04MQTT\x04"

CONNACK, PUBLISH, PUBACK, SUBACK, PINGRESP = 2, 3, 4, 9, 13
PINGREQ_BYTES: Final = b"\xc0\x00"
DISCONNECT_BYTES: Final = b"\xe0\x00"


class MqttError(SimError):
    """A packet cannot be written, or what came is not MQTT 3.1.1 as a box expects it."""


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes (QoS 1, retained) when the connection dies."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Login:
    """A user's name and password for the broker."""

    username: str
    password: bytes | None = None


@dataclass(frozen=True, slots=True)
class Connack:
    """The broker's answer to CONNECT; code 0 is yes."""

    session_present: bool
    code: int


@dataclass(frozen=True, slots=True)
class Publish:
    """One message; `packet_id` is 0 at QoS 0."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    dup: bool = False
    packet_id: int = 0


@dataclass(frozen=True, slots=True)
class Puback:
    """The receipt of a message sent with QoS 1."""

    packet_id: int


@dataclass(frozen=True, slots=True)
class Suback:
    """The broker's answer to SUBSCRIBE: one code per topic, 0x80 is no."""

    packet_id: int
    codes: bytes


@dataclass(frozen=True, slots=True)
class Pingresp:
    """The broker is there."""


Packet = Connack | Publish | Puback | Suback | Pingresp


def connect(
    client_id: str, *, keepalive_s: int, will: Will | None = None, login: Login | None = None,
    clean_session: bool = False,
) -> bytes:  # fmt: skip
    """Return CONNECT; a will is retained with QoS 1."""
    flags = 0x02 if clean_session else 0x00
    body = [_string(client_id.encode(), "client_id")]
    if will is not None:
        flags |= 0x04 | 0x08 | 0x20
        body += [_string(will.topic.encode(), "will topic"), _string(will.payload, "will")]
    if login is not None:
        flags |= 0x80
        body.append(_string(login.username.encode(), "username"))
        if login.password is not None:
            flags |= 0x40
            body.append(_string(login.password, "password"))
    head = _PROTOCOL + bytes([flags]) + struct.pack("!H", keepalive_s)
    return _packet(0x10, head + b"".join(body))


def publish(message: Publish) -> bytes:
    """Return PUBLISH with the message's QoS (0 or 1)."""
    flags = message.dup << 3 | message.qos << 1 | message.retain
    number = struct.pack("!H", message.packet_id) if message.qos else b""
    topic = _string(message.topic.encode(), "topic")
    return _packet(0x30 | flags, topic + number + message.payload)


def puback(packet_id: int) -> bytes:
    """Return PUBACK."""
    return struct.pack("!BBH", 0x40, 2, packet_id)


def subscribe(packet_id: int, topics: list[tuple[str, int]]) -> bytes:
    """Return SUBSCRIBE for (topic filter, QoS) pairs."""
    filters = b"".join(_string(name.encode(), "filter") + bytes([qos]) for name, qos in topics)
    return _packet(0x82, struct.pack("!H", packet_id) + filters)


def _packet(first: int, body: bytes) -> bytes:
    return bytes([first]) + _remaining(len(body)) + body


def _string(raw: bytes, name: str) -> bytes:
    if len(raw) > MAX_STRING_BYTES:
        raise MqttError(f"{name}: {len(raw)} bytes > {MAX_STRING_BYTES}; make it shorter")
    return struct.pack("!H", len(raw)) + raw


def _remaining(length: int) -> bytes:
    if length > MAX_REMAINING:
        raise MqttError(f"packet: {length} bytes > {MAX_REMAINING}; split the message")
    out = bytearray()
    while True:
        length, digit = divmod(length, 128)
        out.append(digit | 0x80 if length else digit)
        if not length:
            return bytes(out)
