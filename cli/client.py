"""A client for Punnet in one file, without anything to install: copy it into your own project.

    client = Client("http://127.0.0.1:4958", key="")
    answer = client.predict(open("leaf.jpg", "rb").read(), "strawberry")
    print(answer["result"]["predictions"][0])
"""

import http.client
import json
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

Document = dict[str, Any]
Answer = tuple[int, http.client.HTTPMessage, bytes]
JSON, BYTES = "application/json", "application/octet-stream"
WAIT_S = 30.0  # of one question how a job stands
TIMEOUT_S = 120.0  # of one answer
ONCE = "Idempotency-Key"
COME_AGAIN, UNDER_WAY = (429, 503), 409  # nothing was done; Retry-After says when to ask again
LONGEST_PAUSE_S = 30.0


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
            document = json.loads(data) if "json" in told.get("Content-Type", "") else {}
            if status < 400:
                return data, document
            if status not in again or time.monotonic() + pause_s > until:
                raise Refused(status, document)
            time.sleep(min(float(told.get("Retry-After", pause_s)), LONGEST_PAUSE_S))
        raise AssertionError("there is always another pause")

    def close(self) -> None:
        """Close this thread's connection."""
        if self._is_open:
            self._own.connection.close()
            self._own.connection = None

    def _answer(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        """One answer. A server may close an open connection between two requests, so what got no answer on one is sent
        again on another, where that cannot do it twice."""
        may_repeat = self._is_open and (method != "POST" or ONCE in headers)
        try:
            return self._sent(method, path, body, headers)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if not may_repeat:
                raise Unreachable(f"{self._url.geturl()} does not answer: {error or type(error).__name__}") from error
        return self._answer(method, path, body, headers)

    def _sent(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        own = {"Accept": JSON, **({"Authorization": f"Bearer {self._key}"} if self._key else {}), **headers}
        connection = self._connection()
        connection.request(method, self._url.path.rstrip("/") + path, body, own)
        response = connection.getresponse()
        return response.status, response.headers, response.read()

    @property
    def _is_open(self) -> bool:
        return getattr(self._own, "connection", None) is not None

    def _connection(self) -> http.client.HTTPConnection:
        if not self._is_open:
            kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
            self._own.connection = kind(self._url.hostname or "127.0.0.1", self._url.port, timeout=TIMEOUT_S)
        return self._own.connection


def _pauses() -> Iterator[float]:
    """Seconds between two tries where the server does not say how many."""
    pause_s = 0.5
    while True:
        yield pause_s
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
