"""The command line's side of the API: where it is, who is asking, one-line errors."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import httpx

from controller.errors import ControllerError

DEFAULT_URL: Final = "http://127.0.0.1:8470"
_TIMEOUT_S: Final = 120.0


class RequestFailed(ControllerError):
    """The API refused or could not be reached; the message is one line."""

    def __init__(self, message: str, rows: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.rows = tuple(rows)


def token_path() -> Path:
    """Return where `sightline login` keeps its token (SIGHTLINE_TOKEN_FILE moves it)."""
    given = os.environ.get("SIGHTLINE_TOKEN_FILE")
    return Path(given) if given else Path.home() / ".config" / "sightline" / "token"


def save_token(token: str) -> Path:
    """Keep a token, readable by its owner only."""
    path = token_path()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(token)
    return path


class ApiClient:
    """Requests to one controller; SIGHTLINE_URL and SIGHTLINE_TOKEN say which and who."""

    def __init__(self, http: httpx.Client | None = None) -> None:
        url = os.environ.get("SIGHTLINE_URL", DEFAULT_URL)
        ca_file = os.environ.get("SIGHTLINE_CA_FILE")
        self._http = http or httpx.Client(base_url=url, timeout=_TIMEOUT_S, verify=ca_file or True)

    def get(self, path: str) -> Any:
        """GET JSON."""
        return self._send("GET", path).json()

    def get_bytes(self, path: str) -> bytes:
        """GET raw content."""
        return self._send("GET", path).content

    def post(self, path: str, *, json: Any = None) -> Any:
        """POST JSON (or nothing) and return JSON."""
        return self._send("POST", path, json=json).json()

    def delete(self, path: str) -> None:
        """DELETE."""
        self._send("DELETE", path)

    def post_form(
        self, path: str, fields: Mapping[str, Any], files: Sequence[tuple[str, tuple[str, bytes]]]
    ) -> Any:
        """POST a multipart form and return JSON."""
        return self._send("POST", path, data=dict(fields), files=list(files)).json()

    def _send(self, method: str, path: str, **content: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if (token := _token()) else {}
        if content.get("json", 0) is None:
            content = {"content": b""}
        try:
            answer = self._http.request(method, path, headers=headers, **content)
        except httpx.HTTPError as error:
            raise RequestFailed(
                f"SIGHTLINE_URL: no answer from {self._http.base_url} ({type(error).__name__}); "
                "is the controller running?"
            ) from None
        if not answer.is_success:
            raise _failure(answer)
        return answer


def _token() -> str:
    given = os.environ.get("SIGHTLINE_TOKEN", "")
    if given:
        return given.strip()
    try:
        return token_path().read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _failure(answer: httpx.Response) -> RequestFailed:
    try:
        error = answer.json()["error"]
        rows = [f"line {r['line']}: {r['field']}: {r['message']}" for r in error.get("rows", ())]
        return RequestFailed(f"{error['field']}: {error['message']}", rows)
    except (ValueError, KeyError, TypeError):
        return RequestFailed(f"controller: answered {answer.status_code} to {answer.url.path}")
