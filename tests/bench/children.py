"""Fresh processes that tell one JSON object; what fails is told, not raised."""

import json
import os
import subprocess
from collections.abc import Sequence
from typing import Any, Final

ONE_THREAD: Final = {
    "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
    "GLOG_minloglevel": "2",
}  # fmt: skip


def ask(
    python: str, module: str, arguments: Sequence[str], *, timeout_s: float, one_thread: bool
) -> dict[str, Any]:
    """Run `python -m <module>`; return what it told, or `{"failed": why}`."""
    command = [python, "-m", module, *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout_s, check=True,
            env={**os.environ, **(ONE_THREAD if one_thread else {})},
        )  # fmt: skip
        told: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    except subprocess.CalledProcessError as error:
        return {"failed": (error.stderr.strip().splitlines() or ["?"])[-1][:200]}
    except (subprocess.TimeoutExpired, OSError, ValueError, IndexError) as error:
        return {"failed": f"{type(error).__name__}: {error}"[:200]}
    return told
