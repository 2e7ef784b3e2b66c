"""A listener on the broker that knows how far each agent has come, from signed health alone."""

import base64
import threading
from collections.abc import Mapping
from typing import Any

import paho.mqtt.client as mqtt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from paho.mqtt.enums import CallbackAPIVersion

from wire.errors import WireError
from wire.messages import AgentState, Health
from wire.signing import verify
from wire.topics import every_agent, parse_topic


class HealthWatch:
    """Keeps the latest verified health of the agents it was given keys for.

    `signing_keys`: agent id -> base64 public key. Messages of others, or with a wrong signature,
    are not counted.
    """

    def __init__(self, signing_keys: Mapping[str, str]) -> None:
        self._keys = {
            agent_id: Ed25519PublicKey.from_public_bytes(base64.b64decode(key))
            for agent_id, key in signing_keys.items()
        }
        self._health: dict[str, Health] = {}
        self._online: dict[str, bool] = {}
        self._lock = threading.Lock()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="demo-watch")
        self._client.reconnect_delay_set(1, 2)
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message

    def start(self, host: str, port: int) -> None:
        """Connect and listen in paho's own thread until `stop`."""
        self._client.connect(host, port)
        self._client.loop_start()

    def stop(self) -> None:
        """Disconnect and end the thread."""
        self._client.disconnect()
        self._client.loop_stop()

    def latest(self) -> dict[str, Health]:
        """Return the latest health by agent id."""
        with self._lock:
            return dict(self._health)

    def online(self) -> set[str]:
        """Return the agents whose latest state is a birth."""
        with self._lock:
            return {agent_id for agent_id, up in self._online.items() if up}

    def _on_connect(self, client: mqtt.Client, *_: Any) -> None:
        client.subscribe([(every_agent("health"), 1), (every_agent("state"), 1)])

    def _on_message(self, _client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        try:
            self._take(message.topic, bytes(message.payload))
        except WireError:
            return

    def _take(self, topic: str, payload: bytes) -> None:
        parsed = parse_topic(topic)
        key = self._keys.get(parsed.agent_id)
        if key is None:
            return
        with self._lock:
            if parsed.kind == "health":
                self._health[parsed.agent_id] = verify(Health, payload, key)
            else:
                self._online[parsed.agent_id] = verify(AgentState, payload, key).online
