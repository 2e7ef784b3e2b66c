"""Structured logs: one JSON object a line, and never an embedding, an image or a key."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

MAX_VALUE_CHARS = 300


class JsonFormatter(logging.Formatter):
    """Write a record as one JSON line; bytes and arrays are refused, long text is cut."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage()[:MAX_VALUE_CHARS],
        }
        line |= {k: _plain(v) for k, v in getattr(record, "facts", {}).items()}
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = f"{type(record.exc_info[1]).__name__}: {record.exc_info[1]}"[:300]
        return json.dumps(line)


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    # Numbers, names and reasons only: anything else might be what must not be logged.
    return value[:MAX_VALUE_CHARS] if isinstance(value, str) else f"<{type(value).__name__}>"


def set_up(level: str, stream: TextIO = sys.stderr) -> None:
    """Send all logs of this process to a stream as JSON lines."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def facts(**values: object) -> dict[str, dict[str, object]]:
    """Wrap facts for a log call: `log.info("delivered", extra=facts(count=3))`."""
    return {"facts": values}
