"""Evidence: redact the subject's key frames and upload them to the query's one-time address."""

import hashlib
import http.client
import logging
import ssl
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit
from uuid import UUID

from agent.config import LOOPBACK
from agent.errors import AgentError
from agent.keys import KeyRing
from agent.logs import facts
from agent.queries import Matched
from agent.vision.chain import decode_picture, encode_jpeg
from agent.vision.detector import Detector
from agent.vision.faces import Embedder
from agent.vision.redact import RedactionRefused, redact
from agent.vision.tracklets import mask_name
from agent.vision.types import U8, Detection, KeyFrame
from wire import messages as m
from wire.ids import derived_uuid7
from wire.protection import dequantise, protect, template_from_bytes

log = logging.getLogger("agent.evidence")

MAX_PICTURE_BYTES: Final = 4 << 20
UPLOAD_TIMEOUT_S: Final = 20.0
UPLOAD_TRIES: Final = 3
SAME_PERSON: Final = 0.35
"""Least cosine between the redacted face and the tracklet's own template."""


class UploadFailed(AgentError):
    """A picture could not be handed to the controller."""


class Uploader(Protocol):
    """Hand one picture to the controller."""

    def put(self, url: str, picture: bytes) -> None:
        """Upload a JPEG; raises `UploadFailed`."""
        ...


class HttpUploader:
    """PUT over HTTPS (plain HTTP only on loopback), at most three tries."""

    def __init__(self, ca_file: Path | None) -> None:
        self._ca_file = ca_file

    def put(self, url: str, picture: bytes) -> None:
        """Upload a JPEG; raises `UploadFailed`."""
        last = ""
        for _ in range(UPLOAD_TRIES):
            try:
                status = self._once(url, picture)
            except ssl.SSLError as error:
                raise UploadFailed(f"upload TLS: {error.reason}; check evidence.ca_file") from None
            except (OSError, http.client.HTTPException) as error:
                last = type(error).__name__
                continue
            if status in (200, 201, 204):
                return
            last = f"HTTP {status}"
            if 400 <= status < 500:
                break
        raise UploadFailed(f"upload: {last}; is the evidence address reachable and still valid?")

    def _once(self, url: str, picture: bytes) -> int:
        parts = urlsplit(url)
        host = parts.hostname or ""
        connection: http.client.HTTPConnection
        if parts.scheme == "https":
            context = ssl.create_default_context(
                cafile=None if self._ca_file is None else str(self._ca_file)
            )
            connection = http.client.HTTPSConnection(
                host, parts.port, timeout=UPLOAD_TIMEOUT_S, context=context
            )
        elif parts.scheme == "http" and host in LOOPBACK:
            connection = http.client.HTTPConnection(host, parts.port, timeout=UPLOAD_TIMEOUT_S)
        else:
            raise UploadFailed("upload: only https addresses are used outside loopback")
        try:
            connection.request("PUT", parts.path, picture, {"Content-Type": "image/jpeg"})
            return connection.getresponse().status
        finally:
            connection.close()


class EvidenceDesk:
    """Make evidence of matched tracklets; what cannot be shown safely is withheld and counted."""

    def __init__(
        self,
        *,
        detector: Callable[[], Detector],
        embedder: Callable[[], Embedder],
        keys: KeyRing,
        uploader: Uploader,
        id_key: bytes,
    ) -> None:
        self._make_detector, self._make_embedder = detector, embedder
        self._keys, self._uploader, self._id_key = keys, uploader, id_key

    def make(
        self, subjects: Sequence[Matched], secrets: m.QuerySecrets, camera_id: str
    ) -> m.EvidenceBody:
        """Redact and upload up to `max_pictures`; return what left and what was withheld."""
        limit = min(secrets.max_pictures, 64)
        items: list[m.EvidenceItem] = []
        reasons: list[str] = []
        shots = [(f, k) for f in subjects for k in f.tracklet.key_frames]
        # One picture of each tracklet first, then the second best of each.
        shots.sort(key=lambda s: s[0].tracklet.key_frames.index(s[1]))
        # Networks of their own, for an interpreter serves one thread only, and only for as long
        # as they are needed: they take a quarter of a small box's memory.
        networks = (self._make_detector(), self._make_embedder()) if shots else None
        for found, frame in shots:
            if len(items) >= limit or networks is None:
                break
            try:
                items.append(self._one(found, frame, secrets, networks))
            except (RedactionRefused, UploadFailed) as error:
                reasons.append(str(error))
                log.warning("picture withheld", extra=facts(reason=str(error)))
        return m.EvidenceBody(
            camera_id=camera_id,
            items=tuple(items),
            withheld=len(reasons),
            withheld_reason="; ".join(sorted(set(reasons)))[:512],
        )

    def _one(
        self, found: Matched, frame: KeyFrame, secrets: m.QuerySecrets,
        networks: tuple[Detector, Embedder],
    ) -> m.EvidenceItem:  # fmt: skip
        image = decode_picture(frame.jpeg)
        if image is None:
            raise RedactionRefused("a key frame cannot be decoded")
        detector, embedder = networks
        shown = redact(
            image,
            detector=detector,
            subject_bbox_xyxy=frame.subject_bbox_xyxy,
            other_bboxes_xyxy=frame.other_bboxes_xyxy,
            similarity_of=partial(self._similarity, found, embedder),
            min_similarity=SAME_PERSON,
        )
        picture = encode_jpeg(shown.image_rgb)
        if len(picture) > MAX_PICTURE_BYTES:
            raise RedactionRefused("the redacted picture is too large")
        evidence_id = self._evidence_id(found.tracklet.id, frame.captured_us, secrets.upload_url)
        self._uploader.put(f"{secrets.upload_url}/{evidence_id}", picture)
        return m.EvidenceItem(
            evidence_id=evidence_id,
            tracklet_id=found.tracklet.id,
            captured_us=frame.captured_us,
            sha256=hashlib.sha256(picture).digest(),
            size_bytes=len(picture),
            similarity=min(shown.similarity, 1.0),
        )

    def _similarity(
        self, found: Matched, embedder: Embedder, image_rgb: U8, face: Detection
    ) -> float:
        """Compare a face with the tracklet's own protected template; fail closed without a key."""
        held = self._keys.for_epoch(found.tracklet.epoch)
        if held is None or found.tracklet.template is None:
            raise RedactionRefused("the key of that day is gone, so the face cannot be checked")
        raw = embedder.embed(image_rgb, face.landmarks_xy)
        vector = embedder.adapt(raw, mask_name(found.tracklet.mask_probability))
        own = dequantise(protect(vector[None], held[1]))[0]
        kept = dequantise(template_from_bytes(found.tracklet.template)[None])[0]
        return float(own @ kept)

    def _evidence_id(self, tracklet_id: UUID, captured_us: int, url: str) -> UUID:
        label = f"{tracklet_id}|{captured_us}|{hashlib.sha256(url.encode()).hexdigest()}"
        return derived_uuid7(unix_ms=captured_us // 1000, secret=self._id_key, label=label)
