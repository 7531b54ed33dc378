"""How a worker's log lines look: for people, or (`WEIR_LOG_FORMAT=json`) one JSON object a line for collectors."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import msgspec

from weir.settings import Settings

TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class Json(logging.Formatter):
    """`time` (ISO, UTC), `level`, `logger`, `message` and, where there is one, `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


def formatter(config: Settings) -> logging.Formatter:
    """The formatter that is set."""
    return Json() if config.log_format == "json" else logging.Formatter(TEXT)


def apply(config: Settings) -> None:
    """Have the root logger's handlers, which are there already, write as is set."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(formatter(config))
