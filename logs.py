"""How our processes log: lines of text, or of JSON (`PUNNET_LOG_FORMAT=json`)."""

import json
import logging
import time
from typing import Literal, TextIO

Format = Literal["text", "json"]
TEXT = "%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"


def configure(level: str, kind: Format, stream: TextIO | None = None) -> None:
    """What is logged in this process goes to `stream`, or to standard error."""
    logging.basicConfig(level=level.upper(), stream=stream)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(formatter(kind))


def formatter(kind: Format) -> logging.Formatter:
    return JsonLines() if kind == "json" else logging.Formatter(TEXT)


class JsonLines(logging.Formatter):
    """One object a line."""

    def format(self, record: logging.LogRecord) -> str:
        told = {"time": stamp(record.created), "level": record.levelname.lower(), "process": record.process,
                "logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return json.dumps(told, ensure_ascii=False)


def stamp(seconds: float) -> str:
    """Of the epoch -> RFC 3339, in UTC and milliseconds."""
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds * 1000) % 1000:03d}Z"
