"""A client for Punnet in one file, without anything to install: copy it into your own project.

    client = Client("http://127.0.0.1:4958", key="")
    answer = client.predict(open("leaf.jpg", "rb").read(), "strawberry")
    print(answer["result"]["predictions"][0])
"""

import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import SplitResult, quote, urlencode, urlsplit

Document = dict[str, Any]
Answer = tuple[int, dict[str, str], bytes]  # status, headers by their names in small letters, body
JSON, BYTES = "application/json", "application/octet-stream"
WAIT_S = 30.0  # of one question how a job stands
TIMEOUT_S = 120.0  # of one answer
ONCE = "Idempotency-Key"
COME_AGAIN, UNDER_WAY = (429, 503), 409  # nothing was done; Retry-After says when to ask again
LONGEST_PAUSE_S = 30.0
LINE_BYTES = 1 << 16


class Refused(Exception):
    """The server answered with a problem. `status` is HTTP's, `problem` is its document."""

    def __init__(self, status: int, problem: Document) -> None:
        super().__init__(problem.get("detail") or problem.get("title") or f"status {status}")
        self.status, self.problem = status, problem


class Unreachable(Exception):
    """No server answers there."""


class Client:
    """May be used by several threads; each has a connection of its own, which stays open."""

    def __init__(self, url: str = "http://127.0.0.1:4958", key: str = "", patience_s: float = 600.0) -> None:
        """`patience_s` is how long a server that says "busy" is asked again, and an image is waited for."""
        self._url, self._key, self._patience_s = urlsplit(url), key, patience_s
        self._own = threading.local()

    def predict(self, image: bytes, model: str, idempotency_key: str = "", **parameters: Any) -> Document:
        """The answer for one image, also where it has to be waited for as a job.

        Raises:
            Refused, Unreachable.
        """
        answer = self.post(image, model, idempotency_key, **parameters)
        return self.result(answer["id"]) if answer["status"] == 202 else answer

    def post(self, image: bytes, model: str, idempotency_key: str = "", **parameters: Any) -> Document:
        """The answer for one image, or the job that it became. Posted again with the same key it is not done twice."""
        once = {ONCE: idempotency_key} if idempotency_key else {}
        query = urlencode({"model_type": model, **parameters})
        return self.ask("POST", f"/predict?{query}", image, {"Content-Type": BYTES, **once})[1]

    def result(self, job_id: str) -> Document:
        """What came of a job, once it has ended.

        Raises:
            Refused: also for a job that failed or was canceled. Unreachable.
        """
        until = time.monotonic() + self._patience_s
        while True:
            _, answer = self.ask("GET", f"/jobs/{quote(job_id)}/result?wait={WAIT_S:g}")
            if answer["status"] != 202:
                return answer
            if time.monotonic() > until:
                raise Refused(504, {"detail": f"job {job_id} has not ended within {self._patience_s:g} s"})

    def drawing(self, job_id: str, kind: str = "image/png", **style: Any) -> bytes:
        """The result of a job that has ended, drawn on its image."""
        return self.ask("GET", f"/jobs/{quote(job_id)}/result?{urlencode(style)}", headers={"Accept": kind})[0]

    def jobs(self, **filters: Any) -> list[Document]:
        """The newest jobs of this key."""
        return self.ask("GET", f"/jobs?{urlencode(filters)}")[1]["jobs"]

    def job(self, job_id: str) -> Document:
        return self.ask("GET", f"/jobs/{quote(job_id)}")[1]

    def cancel(self, job_id: str) -> Document:
        return self.ask("DELETE", f"/jobs/{quote(job_id)}")[1]

    def models(self) -> list[Document]:
        return self.ask("GET", "/models")[1]["models"]

    def model(self, name: str) -> Document:
        return self.ask("GET", f"/models/{quote(name)}")[1]

    def ask(self, method: str, path: str, body: bytes | None = None,
            headers: dict[str, str] | None = None) -> tuple[bytes, Document]:
        """The body of an answer, and what it says where it is JSON. Who is told to come again does so.

        Raises:
            Refused, Unreachable.
        """
        given, until = headers or {}, time.monotonic() + self._patience_s
        again = (*COME_AGAIN, UNDER_WAY) if ONCE in given else COME_AGAIN
        for pause_s in _pauses():
            status, told, data = self._answer(method, path, body, given)
            document = json.loads(data) if "json" in told.get("content-type", "") else {}
            if status < 400:
                return data, document
            if status not in again or time.monotonic() + pause_s > until:
                raise Refused(status, document)
            time.sleep(min(float(told.get("retry-after", pause_s)), LONGEST_PAUSE_S))
        raise AssertionError("there is always another pause")

    def close(self) -> None:
        """Close this thread's connection."""
        self._connection.close()

    def _answer(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        """One answer. A server may close an open connection between two requests, so what got no answer on one is sent
        again on another, where that cannot do it twice."""
        may_repeat = self._connection.is_open and (method != "POST" or ONCE in headers)
        own = {"Accept": JSON, **({"Authorization": f"Bearer {self._key}"} if self._key else {}), **headers}
        try:
            return self._connection.ask(method, self._url.path.rstrip("/") + path, body, own)
        except OSError as error:
            if not may_repeat:
                raise Unreachable(f"{self._url.geturl()} does not answer: {error or type(error).__name__}") from error
        return self._answer(method, path, body, headers)

    @property
    def _connection(self) -> "_Connection":
        """This thread's."""
        if not hasattr(self._own, "connection"):
            self._own.connection = _Connection(self._url)
        return self._own.connection


class _Connection:
    """HTTP/1.1, one request after the other. What http.client loads, and how it reads headers, takes as much time as a
    server takes for one in thirty small images."""

    def __init__(self, url: SplitResult) -> None:
        self._url = url
        self._socket: socket.socket | None = None

    @property
    def is_open(self) -> bool:
        return self._socket is not None

    def close(self) -> None:
        if self._socket is not None:
            self._reader.close()
            self._socket.close()
        self._socket = None

    def ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        """Raises OSError: there is no answer, or it is no HTTP."""
        length = {} if body is None else {"Content-Length": str(len(body))}
        head = {"Host": self._url.netloc.rpartition("@")[2], "Accept-Encoding": "identity", **headers, **length}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
        if any(set(line) & {"\r", "\n"} for line in lines):
            raise ValueError("a header has a line break in it")
        try:
            self._opened().sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b""))
            return self._answer()
        except BaseException:  # what comes of it later is no answer to the next request
            self.close()
            raise

    def _opened(self) -> socket.socket:
        if self._socket is None:
            port = self._url.port or (443 if self._url.scheme == "https" else 80)
            made = socket.create_connection((self._url.hostname or "127.0.0.1", port), TIMEOUT_S)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket = _secured(made, self._url.hostname) if self._url.scheme == "https" else made
            self._reader = self._socket.makefile("rb")
        return self._socket

    def _answer(self) -> Answer:
        try:
            version, status, headers = self._head()
            while status < 200:  # the server only says that it goes on
                version, status, headers = self._head()
            data = self._body(status, headers)
        except ValueError as error:
            raise ConnectionError("its answer is no HTTP") from error
        if version == "HTTP/1.0" or headers.get("connection", "").lower() == "close":
            self.close()
        return status, headers, data

    def _head(self) -> tuple[str, int, dict[str, str]]:
        version, status = self._line().split()[:2]
        if not version.startswith("HTTP/1."):
            raise ValueError(version)
        return version, int(status), self._headers()

    def _headers(self) -> dict[str, str]:
        found = {}
        while line := self._line():
            name, _, value = line.partition(":")
            found[name.lower()] = value.strip()
        return found

    def _body(self, status: int, headers: dict[str, str]) -> bytes:
        if status in (204, 304):
            return b""
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return b"".join(self._chunks())
        if "content-length" in headers:
            return self._read(int(headers["content-length"]))
        headers["connection"] = "close"
        return self._reader.read()

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self._line().partition(";")[0], 16):
            yield self._read(size)
            self._line()
        self._headers()

    def _line(self) -> str:
        """Raises ConnectionError where the connection ends, or the line does not."""
        line = self._reader.readline(LINE_BYTES)
        if not line.endswith(b"\n"):
            raise ConnectionError("the connection ended before the answer did")
        return line.decode("latin-1").rstrip("\r\n")

    def _read(self, size: int) -> bytes:
        data = self._reader.read(size)
        if len(data) < size:
            raise ConnectionError("the connection ended before the answer did")
        return data


def _secured(connection: socket.socket, host: str | None) -> socket.socket:
    import ssl  # of use for https alone, and slow to load

    return ssl.create_default_context().wrap_socket(connection, server_hostname=host)


def _pauses() -> Iterator[float]:
    """Seconds between two tries where the server does not say how many."""
    pause_s = 0.5
    while True:
        yield pause_s
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
