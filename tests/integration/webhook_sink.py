"""A receiver of webhooks: it writes down what it hears, and answers by the path."""

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Heard:
    at: float
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)

    @property
    def event(self) -> str:
        return self.headers["Punnet-Event"]


class Sink:
    """/ok says 200, /flaky first 500, /gone 410, /moved 302 to /ok; /held says nothing until `release` is set."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self.release = threading.Event()
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                path = self.path.partition("?")[0]
                earlier = sink.at(path)
                sink.heard.append(Heard(time.monotonic(), path, dict(self.headers), body))
                if path == "/held":
                    sink.release.wait(60)
                status = {"/flaky": 200 if earlier else 500, "/gone": 410, "/moved": 302}.get(path, 200)
                self.send_response(status)
                self.send_header("Location", "/ok")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}{path}"

    def at(self, path: str) -> list[Heard]:
        return [heard for heard in self.heard if heard.path == path]

    def close(self) -> None:
        self.release.set()
        self._server.shutdown()
