"""Structured logs: one JSON object a line, with nothing in it of users, items or queries."""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any

access = logging.getLogger("genrec.access")
"""One line per request: its route (never its path), status, time and size."""


class JsonLines(logging.Formatter):
    """Writes records as JSON; of an exception its type and where it was raised, not its words."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one record."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        if record.exc_info is not None and record.exc_info[0] is not None:
            line["exception"] = record.exc_info[0].__name__
            line["trace"] = "".join(traceback.format_tb(record.exc_info[2]))
        return json.dumps(line, ensure_ascii=False)


def log_as_json(level: int = logging.INFO) -> None:
    """Send all logs of the process to standard error as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # It would log paths, and with them what was asked for.
    logging.getLogger("uvicorn.access").disabled = True
