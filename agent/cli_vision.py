"""`sightline-agent vision`: look at single pictures with the networks of this box."""

import base64
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from agent.errors import AgentError
from agent.models.pack import load_pack
from agent.vision.chain import (
    VisionSettings,
    build_detector,
    build_embedder,
    build_masks,
    decode_picture,
    encode_jpeg,
)
from agent.vision.enrol import DETECT_THRESHOLD, enrol
from agent.vision.redact import RedactionRefused, keep_only_box
from agent.vision.types import U8, Detection

app = typer.Typer(no_args_is_help=True, help="Look at single pictures.")

BAD_PHOTO_EXIT = 2
Detector = Annotated[str, typer.Option(help="centerface-float|centerface-int8|blazeface-...")]


@app.command()
def embed(
    photo: Annotated[str, typer.Argument(help="picture file, or - for standard input")],
    detector: Detector = "centerface-float",
    _as_json: Annotated[bool, typer.Option("--json", help="print JSON (always so)")] = True,
) -> None:
    """Turn a photo with exactly one face into an embedding, printed as one JSON object."""
    settings = VisionSettings(detector=detector)
    try:
        pack = load_pack()
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
    detector: Detector = "centerface-float",
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
def redact(
    file: Annotated[Path, typer.Argument(help="picture to redact")],
    keep: Annotated[Path, typer.Option(help="photo of the one person to keep")],
    out: Annotated[Path, typer.Option(help="folder for the redacted picture")],
    min_similarity: Annotated[float, typer.Option(min=0.0, max=1.0)] = 0.4,
) -> None:
    """Fill everything in a picture but the face of one person; one JSON line."""
    settings = VisionSettings()
    try:
        pack = load_pack()
        detector, embedder = build_detector(pack, settings), build_embedder(pack, settings)
        wanted = enrol(_read_file(str(keep)), detector, embedder, build_masks(pack, settings))
        image = _picture(str(file))
        found = detector.detect(image, threshold=0.15)
        scored = [
            (float(embedder.adapt(embedder.embed(image, d.landmarks_xy)) @ wanted.embedding), d)
            for d in found
        ]
        similarity, subject = max(scored, key=lambda pair: pair[0], default=(-1.0, None))
        if subject is None or similarity < min_similarity:
            raise RedactionRefused(f"{file}: the person to keep is not in the picture")
        shown = keep_only_box(image, subject, [d.box for _, d in scored if d is not subject])
        out.mkdir(parents=True, exist_ok=True)
        target = out / f"{file.stem}.redacted.jpg"
        target.write_bytes(encode_jpeg(shown))
    except AgentError as error:
        _fail(str(error))
    _print({"file": str(file), "out": str(target), "similarity": round(similarity, 4),
            "others_filled": len(found) - 1})  # fmt: skip


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
    field, _, rest = message.partition(":")
    typer.echo(json.dumps({"error": {"field": field.split()[0], "message": rest.strip()}}))
    raise typer.Exit(BAD_PHOTO_EXIT)
