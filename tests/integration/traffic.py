"""An eavesdropper on the demo's broker, and the field list that it holds every payload against.

The table below is written out by hand on purpose: it must not follow the models when they change.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import cbor2
import cv2
import numpy as np
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from wire.topics import parse_topic

ID, NAME, TEXT, REASON = ("bytes", 16), ("text", 64), ("text", 256), ("text", 512)
INT, REAL, FLAG, WORD = ("int", 1 << 53), ("real", 1e6), ("flag", 0), ("text", 16)
TEMPLATE, KEY, NONCE, HASH = ("bytes", 192), ("bytes", 32), ("bytes", 16), ("bytes", 32)
SEALED = ("bytes", 256 * 1024 - 2048)

Rule = Any  # (type, bound) | {"each": table, "most": n} | table

SIGHTING = {
    "id": ID, "epoch": INT, "start_us": INT, "end_us": INT, "time_uncertainty_s": REAL,
    "template": TEMPLATE, "mask_state": WORD, "mask_probability": REAL, "quality": REAL,
    "face_count": INT,
}  # fmt: skip
PATH_POINT = {"offset_ms": INT, "x_mm": INT, "y_mm": INT, "noise_sd_mm": INT}
MASK_SPAN = {"offset_ms": INT, "state": WORD, "probability": REAL}
TRACKLET = {
    "tracklet_id": ID, "is_subject": FLAG, "similarity": REAL, "start_us": INT, "end_us": INT,
    "epoch": INT, "shard": INT, "time_uncertainty_s": REAL, "template": TEMPLATE, "quality": REAL,
    "face_count": INT, "path": {"each": PATH_POINT, "most": 4096},
    "masks": {"each": MASK_SPAN, "most": 256},
}  # fmt: skip
EVIDENCE_ITEM = {
    "evidence_id": ID, "tracklet_id": ID, "captured_us": INT, "sha256": HASH, "size_bytes": INT,
    "similarity": REAL,
}  # fmt: skip
LOOKBACK: dict[str, Rule] = {
    "camera_id": NAME, "camera_height_m": REAL, "head_height_m": REAL, "head_height_sd_m": REAL,
    "frame_interval_s": REAL, "tracklets": {"each": TRACKLET, "most": 256},
}  # fmt: skip
EVIDENCE: dict[str, Rule] = {
    "camera_id": NAME, "items": {"each": EVIDENCE_ITEM, "most": 64}, "withheld": INT,
    "withheld_reason": REASON,
}  # fmt: skip
PAYLOADS: dict[str, dict[str, Rule]] = {
    "sightings": {
        "schema": INT, "agent_id": NAME, "spool_id": ID, "seq": INT, "sent_us": INT,
        "camera_id": NAME, "shard": INT, "space_id": NAME, "variant": NAME,
        "sightings": {"each": SIGHTING, "most": 64},
    },
    "acks": {
        "schema": INT, "agent_id": NAME, "stream": WORD, "spool_id": ID, "acked_seq": INT,
        "issued_us": INT,
    },
    "state": {
        "schema": INT, "agent_id": NAME, "online": FLAG, "bd_seq": INT, "since_us": INT,
        "camera_id": NAME, "calibration_id": NAME, "model_pack_id": NAME, "space_id": NAME,
        "variant": NAME, "version": NAME, "device": TEXT,
    },
    "health": {
        "schema": INT, "agent_id": NAME, "at_us": INT, "started_us": INT, "frames_total": INT,
        "frames_dropped_total": INT, "frames_still_total": INT, "faces_total": INT,
        "sightings_total": INT, "accelerator": NAME, "accelerator_working": FLAG,
        "accelerator_faults_total": INT,
        "last_frame_us": INT, "spool_batches": INT, "spool_bytes": INT, "store_bytes": INT,
        "clock_offset_s": REAL, "source_ended": FLAG,
    },
    "queries": {
        "schema": INT, "query_id": ID, "case_id": ID, "agent_id": NAME, "kind": WORD,
        "purpose": TEXT, "issued_us": INT, "expires_us": INT, "nonce": NONCE,
        "scope": {"camera_id": NAME, "start_us": INT, "end_us": INT}, "reply_key": KEY,
        "sealed": SEALED, "cancels": ID,
    },
    "replies": {
        "schema": INT, "query_id": ID, "agent_id": NAME, "spool_id": ID, "seq": INT,
        "status": WORD, "reason": REASON, "part": INT, "parts_total": INT, "body": SEALED,
    },
    "keys": {
        "schema": INT, "agent_id": NAME, "issued_us": INT,
        "keys": {
            "each": {"epoch": INT, "shard": INT, "sealed": ("bytes", 256)}, "most": 64,
        },
    },
}  # fmt: skip
ENVELOPE: dict[str, Rule] = {
    "v": INT, "payload": ("bytes", 256 * 1024), "key_id": ("bytes", 8), "signature": ("bytes", 64)
}  # fmt: skip
_MAGICS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF", b"GIF8")
_TYPES: dict[str, type | tuple[type, ...]] = {
    "bytes": bytes, "text": str, "int": int, "real": (int, float), "flag": bool
}  # fmt: skip


@dataclass(frozen=True)
class Heard:
    """One message as the broker passed it on."""

    topic: str
    payload: bytes

    @property
    def kind(self) -> str:
        return parse_topic(self.topic).kind

    @property
    def agent_id(self) -> str:
        return parse_topic(self.topic).agent_id


@dataclass
class Eavesdropper:
    """Subscribes to `#` and keeps everything, in order."""

    heard: list[Heard] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _client: mqtt.Client | None = None

    def start(self, host: str, port: int) -> None:
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="eavesdropper")
        client.on_connect = lambda c, *_: c.subscribe("#", qos=1)
        client.on_message = self._on_message
        client.connect(host, port)
        client.loop_start()
        self._client = client

    def stop(self) -> None:
        if self._client is not None:
            self._client.disconnect()
            self._client.loop_stop()
            self._client = None

    def of(self, kind: str) -> list[Heard]:
        with self._lock:
            return [one for one in self.heard if one.kind == kind]

    def _on_message(self, _client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        with self._lock:
            self.heard.append(Heard(message.topic, bytes(message.payload)))


def faults_of_message(one: Heard) -> list[str]:
    """Check envelope and payload of one message against the table; return every fault."""
    if one.payload == b"":
        return [] if one.kind in ("state", "keys") else [f"{one.kind}: empty payload"]
    envelope = cbor2.loads(one.payload)
    faults = faults_of(envelope, ENVELOPE, "envelope")
    if faults:
        return faults
    return faults_of_body(envelope["payload"], PAYLOADS[one.kind], one.kind)


def faults_of_body(data: bytes, table: Mapping[str, Rule], name: str) -> list[str]:
    """Check one CBOR body against its table, and that no picture hides anywhere in it."""
    found = [f"{name}: a picture at byte {at}" for at in pictures_in(data)]
    return found + faults_of(cbor2.loads(data), table, name)


def faults_of(value: Any, rule: Rule, where: str) -> list[str]:
    """Return each unknown field, wrong type and overlong value below `value`."""
    if isinstance(rule, tuple):
        return _faults_of_leaf(value, rule, where)
    if "each" in rule:
        if not isinstance(value, list) or len(value) > rule["most"]:
            return [f"{where}: not a list of at most {rule['most']}"]
        return [f for i, one in enumerate(value) for f in faults_of(one, rule["each"], where)]
    if not isinstance(value, dict):
        return [f"{where}: not a map"]
    unknown = [f"{where}.{key}: unknown field" for key in value if key not in rule]
    known = [(key, one) for key, one in value.items() if key in rule]
    return unknown + [f for key, one in known for f in faults_of(one, rule[key], f"{where}.{key}")]


def _faults_of_leaf(value: Any, rule: tuple[str, float], where: str) -> list[str]:
    kind, bound = rule
    right_type = isinstance(value, _TYPES[kind]) and (kind == "flag") == isinstance(value, bool)
    if not right_type:
        return [f"{where}: {type(value).__name__}, not {kind}"]
    size = abs(value) if kind in ("int", "real") else len(value) if kind != "flag" else 0
    return [f"{where}: {size} > {bound}"] if size > bound else []


def pictures_in(data: bytes) -> list[int]:
    """Return where in the bytes a decodable picture starts.

    Random bytes hold a JPEG's three magic bytes once in 16 MB, so a hit counts only if a decoder
    can make a picture of what follows.
    """
    found = []
    for magic in _MAGICS:
        at = data.find(magic)
        while at >= 0:
            if cv2.imdecode(np.frombuffer(data[at:], np.uint8), cv2.IMREAD_COLOR) is not None:
                found.append(at)
            at = data.find(magic, at + 1)
    return found
