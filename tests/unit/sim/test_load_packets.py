"""The load tool's MQTT: the bytes that paho writes, and a decoder that any cut leaves unmoved."""

from itertools import pairwise

import paho.mqtt.client as mqtt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion

from sim.load import packets as p
from sim.load.decoder import Decoder
from sim.load.packets import Login, MqttError, Publish, Will

TOPICS = st.text(st.characters(codec="utf-8", exclude_characters="\0+#"), min_size=1, max_size=60)
IDS = st.integers(1, 65_535)
PAYLOADS = st.binary(max_size=400)
MESSAGES = st.builds(
    Publish, TOPICS, PAYLOADS, qos=st.just(1), retain=st.booleans(), dup=st.booleans(),
    packet_id=IDS,
) | st.builds(Publish, TOPICS, PAYLOADS, retain=st.booleans())  # fmt: skip


class Wire:
    """A socket that keeps what paho writes."""

    def __init__(self) -> None:
        self.bytes = b""

    def send(self, data: bytes) -> int:
        self.bytes += bytes(data)
        return len(data)

    def close(self) -> None:
        pass


def paho(client_id: str = "box-1") -> mqtt.Client:
    """A paho client that believes to be connected."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id, clean_session=False)
    client._sock = Wire()
    return client


def written(client: mqtt.Client) -> bytes:
    return client._sock.bytes


def from_broker(packet: p.Packet) -> bytes:
    """What a broker sends; boxes only read it, so its writer lives here."""
    if isinstance(packet, Publish):
        return p.publish(packet)
    if isinstance(packet, p.Puback):
        return p.puback(packet.packet_id)
    if isinstance(packet, p.Connack):
        return bytes([0x20, 2, packet.session_present, packet.code])
    if isinstance(packet, p.Suback):
        body = packet.packet_id.to_bytes(2, "big") + packet.codes
        return bytes([0x90, len(body)]) + body
    return b"\xd0\x00"


STREAMS = st.lists(
    st.one_of(
        MESSAGES,
        st.builds(p.Puback, IDS),
        st.builds(p.Connack, st.booleans(), st.integers(0, 5)),
        st.builds(p.Suback, IDS, st.binary(min_size=1, max_size=8)),
        st.just(p.Pingresp()),
    ),
    max_size=8,
)


@given(MESSAGES)
def test_publish_is_what_paho_writes(message: Publish) -> None:
    client = paho()
    client._send_publish(
        message.packet_id, message.topic.encode(), message.payload, message.qos, message.retain,
        message.dup, mqtt.MQTTMessageInfo(message.packet_id),
    )  # fmt: skip
    assert p.publish(message) == written(client)


@given(TOPICS, PAYLOADS, st.integers(1, 600), st.booleans(), st.booleans())
def test_connect_is_what_paho_writes(
    topic: str, payload: bytes, keepalive_s: int, with_will: bool, with_login: bool
) -> None:
    client = paho()
    if with_will:
        client.will_set(topic, payload, qos=1, retain=True)
    if with_login:
        client.username_pw_set("box", "secret")
    client._send_connect(keepalive_s)
    mine = p.connect(
        "box-1",
        keepalive_s=keepalive_s,
        will=Will(topic, payload) if with_will else None,
        login=Login("box", b"secret") if with_login else None,
    )
    assert mine == written(client)


@given(st.lists(st.tuples(TOPICS, st.integers(0, 1)), min_size=1, max_size=5))
def test_subscribe_is_what_paho_writes(topics: list[tuple[str, int]]) -> None:
    client = paho()
    client._send_subscribe(False, [(name.encode(), qos) for name, qos in topics])
    assert p.subscribe(1, topics) == written(client)


def test_puback_ping_and_goodbye_are_what_paho_writes() -> None:
    client = paho()
    wire = client._sock
    client._send_puback(77)
    client._send_pingreq()
    client._send_disconnect()
    assert p.puback(77) + p.PINGREQ_BYTES + p.DISCONNECT_BYTES == wire.bytes


@given(STREAMS, st.data())
def test_a_stream_cut_anywhere_gives_the_same_packets(
    packets: list[p.Packet], data: st.DataObject
) -> None:
    stream = b"".join(from_broker(one) for one in packets)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=10))
    decoder = Decoder()
    found: list[p.Packet] = []
    for start, end in pairwise([0, *sorted(cuts), len(stream)]):
        found += decoder.feed(stream[start:end])
    assert found == packets
    assert decoder.held_bytes == 0


@given(st.lists(st.binary(max_size=64), max_size=30))
def test_noise_is_refused_or_waited_for_within_the_limit(pieces: list[bytes]) -> None:
    decoder = Decoder(limit=500)
    for piece in pieces:
        try:
            decoder.feed(piece)
        except MqttError:
            return
        assert decoder.held_bytes <= 500 + 5


def test_a_packet_that_is_too_long_is_refused_before_it_has_come() -> None:
    with pytest.raises(MqttError, match="501 bytes > 500"):
        Decoder(limit=500).feed(bytes([0x30, 0xF5, 0x03]))


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"\x10\x00", "type 1"),
        (b"\x36\x05\x00\x01ab1", "QoS 3"),
        (b"\x32\x03\x00\x01a", "inside its topic"),
        (b"\x30\x03\x00\x01\xff", "not UTF-8"),
        (b"\x20\x02\x02\x00", "CONNACK"),
        (b"\x41\x02\x00\x01", "flags 1"),
        (b"\x90\x02\x00\x01", "no code"),
        (b"\x30\x80\x80\x80\x80\x01", "more than four bytes"),
    ],
)
def test_what_is_no_packet_for_a_box_is_refused_with_its_reason(raw: bytes, why: str) -> None:
    with pytest.raises(MqttError, match=why):
        Decoder().feed(raw)


def test_a_string_that_mqtt_cannot_carry_names_its_field() -> None:
    with pytest.raises(MqttError, match="topic: 70000 bytes"):
        p.publish(Publish("t" * 70_000, b"", 1, packet_id=1))
