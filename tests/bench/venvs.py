"""A throw-away virtual environment per peer, from its pinned list."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

INSTALL_TIMEOUT_S: Final = 900


class PeerUnavailable(Exception):
    """A peer's packages cannot be installed on this machine or Python."""


def python_of(listed: Path, folder: Path) -> Path:
    """Return the interpreter of `venv-<peer>` for `<peer>.txt`, made anew if that list changed."""
    peer = listed.stem
    wanted = hashlib.sha256(listed.read_bytes()).hexdigest()
    home = folder / f"venv-{peer}"
    stamp, python = home / "installed", home / "bin" / "python"
    if stamp.exists() and stamp.read_text(encoding="ascii") == wanted:
        return python
    shutil.rmtree(home, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(home)], peer)
    # The lists are closed: without --no-deps peers would pull what they do not need here.
    _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
          "--no-deps", "--requirement", str(listed)], peer)  # fmt: skip
    stamp.write_text(wanted, encoding="ascii")
    return python


def _run(command: list[str], peer: str) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerUnavailable(f"{peer}: {type(error).__name__} while installing") from None
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        raise PeerUnavailable(f"{peer}: cannot be installed ({last[:200]})")
