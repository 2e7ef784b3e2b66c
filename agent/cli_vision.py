"""`sightline-agent vision`: look at pictures and recordings with the networks of this box."""

import base64
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from agent.cameras.build import open_camera
from agent.clock import SystemClock
from agent.config import CameraSection
from agent.errors import AgentError
from agent.models.pack import load_pack
from agent.vision import evaluate
from agent.vision.build import (
    VisionSettings,
    build_detector,
    build_embedder,
    build_masks,
)
from agent.vision.chain import decode_picture, encode_jpeg
from agent.vision.detector import Detector as FaceDetector
from agent.vision.enrol import DETECT_THRESHOLD, enrol
from agent.vision.pictures import read_pairs
from agent.vision.redact import UNSURE_THRESHOLD, RedactionRefused, keep_only_box
from agent.vision.redact_video import redact_video
from agent.vision.tracklets import mask_name
from agent.vision.types import U8, Detection

app = typer.Typer(no_args_is_help=True, help="Look at pictures with this box's networks.")

BAD_PHOTO_EXIT = 2
VIDEOS = frozenset({".mp4", ".mkv", ".mov", ".avi", ".webm", ".ts"})
RECORDED = datetime(2020, 1, 1, tzinfo=UTC)
"""A recording that is only redacted needs a start, but no true one."""
SimilarityOf = Callable[[U8, Detection], float]
Embedding = Annotated[str, typer.Option(help="float, int8 or int8-full")]
Detector = Annotated[
    str,
    typer.Option(help="for example centerface-fp16, with @960x544 for another size"),
]


@app.command()
def embed(
    photo: Annotated[str, typer.Argument(help="picture file, or - for standard input")],
    detector: Detector = "centerface-fp16",
    pack_dir: Annotated[Path | None, typer.Option("--pack", help="model pack to use")] = None,
    _as_json: Annotated[bool, typer.Option("--json", help="print JSON (always so)")] = True,
) -> None:
    """Turn a photo with exactly one face into an embedding, printed as one JSON object."""
    settings = VisionSettings(detector=detector)
    try:
        pack = load_pack(pack_dir)
        data = sys.stdin.buffer.read() if photo == "-" else _read_file(photo)
        face = enrol(
            data,
            build_detector(pack, settings),
            build_embedder(pack, settings),
            build_masks(pack, settings),
        )
    except AgentError as error:
        _fail(str(error))
    _print({
        "embedding_b64": base64.b64encode(face.embedding.astype("<f4").tobytes()).decode(),
        "space_id": pack.space_id,
        "variant": settings.embedder,
        "mask_state": face.mask_state,
        "mask_probability": round(face.mask_probability, 4),
        "quality": round(face.quality, 4),
        "bbox_xyxy": [round(v, 1) for v in face.detection.box],
    })  # fmt: skip


@app.command()
def detect(
    files: Annotated[list[Path], typer.Argument(help="picture files")],
    detector: Detector = "centerface-fp16",
    threshold: Annotated[float, typer.Option(min=0.05, max=0.99)] = DETECT_THRESHOLD,
) -> None:
    """Find the faces of pictures; one JSON line each."""
    try:
        network = build_detector(load_pack(), VisionSettings(detector=detector))
        for file in files:
            found = network.detect(_picture(str(file)), threshold=threshold)
            _print({"file": str(file), "faces": [_face_json(d) for d in found]})
    except AgentError as error:
        _fail(str(error))


@app.command()
def verify(
    pairs: Annotated[Path, typer.Option(help="CSV with file_x, file_y, Decision (Yes or No)")],
    images: Annotated[Path, typer.Option(help="folder of the pictures")],
    detector: Detector = "centerface-fp16",
    embedder: Embedding = "float",
) -> None:
    """Compare pairs of pictures; one JSON line each, then the best threshold and its errors."""
    try:
        for line in evaluate.verify(_looker(detector, embedder), read_pairs(pairs), images):
            _print(line)
    except AgentError as error:
        _fail(str(error))


@app.command()
def masks(
    folder: Annotated[Path, typer.Argument(help="pictures; masked/ and unmasked/ give the truth")],
    detector: Detector = "centerface-fp16",
) -> None:
    """Name the mask state of every picture's main face; one JSON line each, then a summary."""
    try:
        for line in evaluate.judge_masks(_looker(detector), folder):
            _print(line)
    except AgentError as error:
        _fail(str(error))


@app.command()
def strangers(
    folder: Annotated[Path, typer.Argument(help="pictures, each of another person")],
    detector: Detector = "centerface-fp16",
    embedder: Embedding = "float",
) -> None:
    """Compare pictures of different people; similarity quantiles before and after adaptation."""
    try:
        for line in evaluate.judge_strangers(_looker(detector, embedder), folder):
            _print(line)
    except AgentError as error:
        _fail(str(error))


@app.command()
def redact(
    file: Annotated[Path, typer.Argument(help="picture or recording to redact")],
    keep: Annotated[Path, typer.Option(help="photo of the one person to keep")],
    out: Annotated[Path, typer.Option(help="folder for the redacted file")],
    min_similarity: Annotated[float, typer.Option(min=0.0, max=1.0)] = 0.4,
) -> None:
    """Fill everything but the face of one person; one JSON line."""
    settings = VisionSettings()
    try:
        pack = load_pack()
        detector, embedder = build_detector(pack, settings), build_embedder(pack, settings)
        classifier = build_masks(pack, settings)
        wanted = enrol(_read_file(str(keep)), detector, embedder, classifier)

        def similarity_of(image: U8, face: Detection) -> float:
            state = mask_name(classifier.probability(image, face.landmarks_xy))
            raw = embedder.embed(image, face.landmarks_xy)
            return float(embedder.adapt(raw, state) @ wanted.embedding)

        out.mkdir(parents=True, exist_ok=True)
        work = _redact_video if file.suffix.lower() in VIDEOS else _redact_picture
        line = work(file, out, detector, similarity_of, min_similarity)
    except AgentError as error:
        _fail(str(error))
    _print(line)


def _redact_picture(
    file: Path, out: Path, detector: FaceDetector, similarity_of: SimilarityOf,
    min_similarity: float,
) -> dict[str, Any]:  # fmt: skip
    image = _picture(str(file))
    found = detector.detect(image, threshold=UNSURE_THRESHOLD)
    scored = [(similarity_of(image, d), d) for d in found]
    similarity, subject = max(scored, key=lambda pair: pair[0], default=(-1.0, None))
    if subject is None or similarity < min_similarity:
        raise RedactionRefused(f"{file}: the person to keep is not in the picture")
    shown = keep_only_box(image, subject, [d.box for d in found if d is not subject])
    target = out / f"{file.stem}.redacted.jpg"
    target.write_bytes(encode_jpeg(shown))
    return {"file": str(file), "out": str(target), "similarity": round(similarity, 4),
            "others_filled": len(found) - 1}  # fmt: skip


def _redact_video(
    file: Path, out: Path, detector: FaceDetector, similarity_of: SimilarityOf,
    min_similarity: float,
) -> dict[str, Any]:  # fmt: skip
    section = CameraSection(id="file", source=f"file:{file}", start_utc=RECORDED, pace="fast")
    target = out / f"{file.stem}.redacted.mp4"
    report = redact_video(
        open_camera(section, SystemClock()), target, detector=detector,
        similarity_of=similarity_of, min_similarity=min_similarity,
    )  # fmt: skip
    return {"file": str(file), "out": str(target), **asdict(report)}


def _looker(detector: str, embedder: str = "float") -> evaluate.Looker:
    pack, settings = load_pack(), VisionSettings(detector=detector, embedder=embedder)
    return evaluate.Looker(
        build_detector(pack, settings), build_embedder(pack, settings), build_masks(pack, settings)
    )


def _read_file(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise AgentError(f"photo {name}: {error.strerror}; give a readable file") from None


def _picture(name: str) -> U8:
    image = decode_picture(_read_file(name))
    if image is None:
        raise AgentError(f"photo {name}: cannot be read as a picture; give a JPEG or PNG file")
    return image


def _face_json(detection: Detection) -> dict[str, Any]:
    return {
        "bbox_xyxy": [round(v, 1) for v in detection.box],
        "landmarks_xy": np.round(detection.landmarks_xy.astype(float), 1).tolist(),
        "score": round(detection.score, 4),
    }


def _print(value: dict[str, Any]) -> None:
    typer.echo(json.dumps(value))


def _fail(message: str) -> None:
    head, _, rest = message.partition(":")
    field, *where = head.split(maxsplit=1)
    told = ": ".join([*where, rest.strip()])
    typer.echo(json.dumps({"error": {"field": field, "message": told}}))
    raise typer.Exit(BAD_PHOTO_EXIT)
