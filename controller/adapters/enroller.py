"""Photo -> probe in a process of its own, so that untrusted pictures are never decoded here."""

import base64
import binascii
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from controller.services.enrolment import Enrolment
from controller.services.refusals import Invalid
from wire.protection import DIMENSION

_MAX_OUTPUT_BYTES: Final = 1 << 20
# The child needs a program path and its libraries, not our secrets.
_PASSED_ON: Final = (
    "PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV", "TMPDIR",
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS",
)  # fmt: skip


class ProcessEnroller:
    """Runs the embed command once per photo: photo on stdin, JSON on stdout.

    Answer: {"embedding_b64" (192 float32 LE), "space_id", "variant", "mask_state",
    "mask_probability", "quality"}; a refusal is {"error": {"field", "message"}} with a non-zero
    exit code.
    """

    def __init__(self, command: Sequence[str], timeout_s: float) -> None:
        self._command = list(command)
        self._timeout_s = timeout_s

    def enrol(self, photo: bytes) -> Enrolment:
        """Return the probe of the one face in a photo; `Invalid` naming the mend if it cannot."""
        done = self._run(photo)
        answer = _answer(done.stdout)
        if answer is None:
            answer = _answer(done.stderr)
        if answer is None:
            raise Invalid("photo", "the enroller gave no answer; check [enroller] command")
        if done.returncode != 0 or "error" in answer:
            fault = answer.get("error")
            message = fault.get("message") if isinstance(fault, Mapping) else None
            raise Invalid("photo", _one_line(message or "cannot be used; take another photo"))
        return _enrolment(answer)

    def _run(self, photo: bytes) -> "subprocess.CompletedProcess[bytes]":
        environment = {key: os.environ[key] for key in _PASSED_ON if key in os.environ}
        try:
            return subprocess.run(
                self._command,
                input=photo,
                capture_output=True,
                timeout=self._timeout_s,
                env=environment,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Invalid(
                "photo", f"the enroller took more than {self._timeout_s:g} s; try a smaller photo"
            ) from None
        except OSError as error:
            raise Invalid(
                "photo", f"the enroller cannot start ({error.strerror}); check [enroller] command"
            ) from None


def _answer(output: bytes) -> dict[str, Any] | None:
    if len(output) > _MAX_OUTPUT_BYTES:
        return None
    for candidate in (output, *reversed(output.strip().splitlines())):
        try:
            value = json.loads(candidate)
        except ValueError:
            continue
        if isinstance(value, dict):
            return value
    return None


def _enrolment(answer: Mapping[str, Any]) -> Enrolment:
    try:
        return Enrolment(
            embedding=_vector(str(answer["embedding_b64"])),
            space_id=str(answer["space_id"]),
            variant=str(answer["variant"]),
            mask_state=str(answer["mask_state"]),
            mask_probability=float(answer["mask_probability"]),
            quality=float(answer["quality"]),
        )
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise Invalid("photo", "the enroller's answer is odd; check [enroller] command") from None


def _vector(text: str) -> NDArray[np.float32]:
    vector = np.frombuffer(base64.b64decode(text, validate=True), dtype="<f4").astype(np.float32)
    if vector.shape != (DIMENSION,) or not np.isfinite(vector).all():
        raise ValueError("embedding")
    norm = float(np.linalg.norm(vector))
    if not 0.9 < norm < 1.1:
        raise ValueError("embedding")
    return np.asarray(vector / norm, dtype=np.float32)


def _one_line(message: str) -> str:
    return " ".join(str(message).split())[:300]
