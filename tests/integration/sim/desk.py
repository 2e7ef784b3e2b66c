"""A minimal controller's end on a real broker: delivers keys, takes batches, acknowledges."""

import threading
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from sim.light.identity import LightIdentity
from tests.unit.sim.light.worlds import FakeController
from wire import messages as m
from wire.signing import sign, verify
from wire.topics import agent_topic, every_agent, parse_topic


class Desk:
    """Speaks MQTT for a `FakeController`; acknowledges a batch only while `acking` is set."""

    def __init__(self, controller: FakeController, identities: list[LightIdentity]) -> None:
        self.controller = controller
        self.acking = threading.Event()
        self.states: dict[str, list[bool]] = {}
        self.replies: list[m.Reply] = []
        self._identities = {identity.agent_id: identity for identity in identities}
        self._next: dict[str, int] = {}
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id="desk", clean_session=False
        )
        self._client.reconnect_delay_set(1, 2)
        self._client.on_message = self._on_message
        self._client.on_connect = self._on_connect

    def start(self, port: int) -> None:
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def deliver_keys(self, epoch: int) -> None:
        for identity in self._identities.values():
            keys = self.controller.keys_for(identity, epoch)
            topic = agent_topic(identity.agent_id, "keys")
            self._client.publish(topic, keys, qos=1, retain=True).wait_for_publish(5)

    def ask(self, query: m.Query) -> None:
        topic = agent_topic(query.agent_id, "queries")
        self._client.publish(topic, sign(query, self.controller.signing), qos=1)

    def _on_connect(self, client: mqtt.Client, *_: Any) -> None:
        client.subscribe([(every_agent(kind), 1) for kind in ("sightings", "state", "replies")])

    def _on_message(self, _client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        parsed = parse_topic(message.topic)
        identity = self._identities[parsed.agent_id]
        handle: dict[str, Callable[[LightIdentity, bytes], None]] = {
            "sightings": self._sightings,
            "state": self._state,
            "replies": self._reply,
        }
        handle[parsed.kind](identity, bytes(message.payload))

    def _sightings(self, identity: LightIdentity, payload: bytes) -> None:
        if not self.acking.is_set():
            return
        batch = verify(m.SightingBatch, payload, identity.signing.public_key())
        # Cumulative words need a gap-free prefix, as at the real controller.
        if batch.seq > self._next.get(identity.agent_id, 1):
            return
        self.controller.take(identity, payload)
        self._next[identity.agent_id] = max(batch.seq + 1, self._next.get(identity.agent_id, 1))
        seq = self._next[identity.agent_id] - 1
        ack = self.controller.ack(batch, m.Stream.SIGHTINGS, seq)
        self._client.publish(agent_topic(identity.agent_id, "acks"), ack, qos=1)

    def _state(self, identity: LightIdentity, payload: bytes) -> None:
        state = verify(m.AgentState, payload, identity.signing.public_key())
        self.states.setdefault(identity.agent_id, []).append(state.online)

    def _reply(self, identity: LightIdentity, payload: bytes) -> None:
        self.replies.append(verify(m.Reply, payload, identity.signing.public_key()))
