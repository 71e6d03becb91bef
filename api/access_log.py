"""The access log: one line a request.

gunicorn's own makes some sixty fields of each request and uses eight, which costs a tenth of a small request. Rotation
needs no signal: a file that was moved away is opened anew within a second.
"""

import json
import logging
import os
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import logs
from api.webhooks import URL_FIELD
from logs import Format

TOLD = ("model", "route", "predicted_ms", "job", "problem", "trace")  # in this order
ARRIVED_KEY, TOLD_KEY = "punnet.arrived", "punnet.told"
log = logging.getLogger(__name__)


class AccessLog:
    """Appends to one file, whole lines at a time, so that several processes may share it."""

    def __init__(self, path: Path, kind: Format = "text") -> None:
        self._path, self._line = path, _as_json if kind == "json" else _as_text
        self._descriptor = -1
        self._inode = -1
        self._second, self._stamp = 0, ""
        self._works = True

    def write(self, environ: dict[str, Any], status: str, sent_bytes: int, request_id: str) -> None:
        """Write the line of an answered request; `environ` bears when it arrived, and what `tell` said of it."""
        ms = (time.perf_counter() - environ.get(ARRIVED_KEY, time.perf_counter())) * 1e3
        entry = {"client": environ.get("REMOTE_ADDR", "-"), "method": environ["REQUEST_METHOD"],
                 "target": without_webhook(environ.get("RAW_URI", environ.get("PATH_INFO", ""))),
                 "protocol": environ.get("SERVER_PROTOCOL", ""), "status": int(status[:3]), "bytes": sent_bytes,
                 "ms": round(ms, 3), "agent": environ.get("HTTP_USER_AGENT", "-"), "request_id": request_id,
                 **environ.get(TOLD_KEY, {})}
        try:
            self._look(int(time.time()))
            os.write(self._descriptor, self._line(entry, self._stamp).encode("utf-8", "replace"))
            self._works = True
        except OSError as error:
            self._say(error)

    def _say(self, error: OSError) -> None:
        """Once, until it works again: the answer was given, whatever becomes of its line."""
        if self._works:
            log.error("requests are not logged, %s cannot be written: %s", self._path, error.strerror)
        self._works = False

    def _look(self, second: int) -> None:
        """Look at the file and the date, once in each second."""
        if second == self._second:
            return
        if self._is_moved():
            self._open()
        self._second, self._stamp = second, time.strftime("%d/%b/%Y:%H:%M:%S %z", time.localtime(second))

    def _is_moved(self) -> bool:
        try:
            return self._path.stat().st_ino != self._inode
        except FileNotFoundError:
            return True

    def _open(self) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        if self._descriptor >= 0:
            os.close(self._descriptor)  # only now: where opening fails its number must not become a connection's
        self._descriptor = descriptor
        self._inode = os.fstat(self._descriptor).st_ino


def tell(environ: dict[str, Any], **facts: str | float) -> None:
    """Add to the line of a request: `model`, `route`, `predicted_ms`, the id of its `job`, the slug of the
    `problem` that it was answered with, its `trace`."""
    environ.setdefault(TOLD_KEY, {}).update(facts)


def _as_text(entry: dict[str, Any], stamp: str) -> str:
    quoted = {name: str(entry[name]).replace('"', mark) for name, mark in (("target", "%22"), ("agent", "'"))}
    more = "".join(f" {name}={entry[name]}" for name in TOLD if name in entry)
    return (f'{entry["client"]} [{stamp}] "{entry["method"]} {quoted["target"]} {entry["protocol"]}" {entry["status"]} '
            f'{entry["bytes"]} {entry["ms"] * 1000:.0f}us "{quoted["agent"]}" {entry["request_id"]}{more}\n')


def _as_json(entry: dict[str, Any], stamp: str) -> str:
    return json.dumps({"time": logs.stamp(time.time()), **entry}, ensure_ascii=False) + "\n"


def without_webhook(target: str) -> str:
    """A request's target without the URL of a webhook, which may bear a secret of its receiver."""
    path, mark, query = target.partition("?")
    return path + mark + "&".join(map(_masked, query.split("&")))


def _masked(pair: str) -> str:
    name, mark, _ = pair.partition("=")
    return name + mark + "..." if unquote_plus(name) == URL_FIELD else pair
