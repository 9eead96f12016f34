"""Logs: one JSON object per line, without ids of users or items, histories, bodies or keys."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any

logger = logging.getLogger("sklearn_llmrec.serving")


class JsonFormatter(logging.Formatter):
    """Format a record as one line of JSON with time, level, event and the fields of `log`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        return json.dumps(line, default=str)


def log(level: int, event: str, **fields: Any) -> None:
    """Write an event to the log with fields, which must not contain data of a user."""
    logger.log(level, event, extra={"fields": fields})


def where(error: BaseException) -> str:
    """Return type and place of an error, without its message, which may contain what a client sent."""
    trace, place = error.__traceback__, ""
    while trace is not None:
        code = trace.tb_frame.f_code
        place = f"{code.co_filename.rpartition('/')[2]}:{trace.tb_lineno} {code.co_name}"
        trace = trace.tb_next
    return f"{type(error).__name__} at {place}"


def write_to_stderr() -> None:
    """Write the logs of this package and of uvicorn to stderr as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    for name in ("sklearn_llmrec.serving", "uvicorn"):
        found = logging.getLogger(name)
        found.handlers, found.propagate = [handler], False
        found.setLevel(logging.INFO)
    # Its errors carry tracebacks with values; requests are logged here.
    logging.getLogger("uvicorn.access").disabled = True
