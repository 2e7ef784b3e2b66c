"""The table passes every message of the contract and finds what must not be there."""

import cbor2
import cv2
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.integration import traffic
from tests.unit.wire.samples import MESSAGES
from wire.codec import encode
from wire.signing import sign

KINDS = {
    "sighting_batch": "sightings", "ack": "acks", "agent_state": "state", "health": "health",
    "query": "queries", "reply": "replies", "key_delivery": "keys",
}  # fmt: skip


def heard(kind: str, payload: bytes) -> traffic.Heard:
    tail = f"{kind}/{'0' * 32}" if kind == "replies" else kind
    return traffic.Heard(f"sightline/v1/agents/agent-01/{tail}", payload)


@pytest.mark.parametrize("sample", sorted(KINDS.keys() & MESSAGES.keys()))
def test_every_sample_of_the_contract_passes(sample: str) -> None:
    payload = sign(MESSAGES[sample], Ed25519PrivateKey.generate())
    assert traffic.faults_of_message(heard(KINDS[sample], payload)) == []


@pytest.mark.parametrize(
    ("sample", "table"), [("lookback_body", traffic.LOOKBACK), ("evidence_body", traffic.EVIDENCE)]
)
def test_every_sample_of_a_reply_body_passes(sample: str, table: dict[str, object]) -> None:
    assert traffic.faults_of_body(encode(MESSAGES[sample]), table, sample) == []


def test_a_position_in_a_sighting_is_found() -> None:
    batch = cbor2.loads(encode(MESSAGES["sighting_batch"]))
    batch["sightings"][0]["x_mm"] = 3
    faults = traffic.faults_of(batch, traffic.PAYLOADS["sightings"], "sightings")
    assert faults == ["sightings.sightings.x_mm: unknown field"]


def test_a_longer_template_and_a_wrong_type_are_found() -> None:
    batch = cbor2.loads(encode(MESSAGES["sighting_batch"]))
    batch["sightings"][0] |= {"template": bytes(193), "quality": "good"}
    faults = traffic.faults_of(batch, traffic.PAYLOADS["sightings"], "s")
    assert faults == ["s.sightings.template: 193 > 192", "s.sightings.quality: str, not real"]


@pytest.mark.parametrize("ending", [".jpg", ".png"])
def test_a_picture_is_found_wherever_it_hides(ending: str) -> None:
    jpeg = cv2.imencode(ending, np.full((8, 8, 3), 99, np.uint8))[1].tobytes()
    assert traffic.pictures_in(b"abc" + jpeg + b"def") == [3]
    assert traffic.pictures_in(b"\xff\xd8\xff" + bytes(50)) == []
