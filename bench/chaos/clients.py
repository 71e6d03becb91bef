"""Clients that ask for jobs, wait for their ends, and look again at the end of the run."""

import http.client
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.chaos.jobs import ENDED, Kind, Right, draw
from bench.chaos.sink import Sink
from tests.integration.images import leaf
from tests.integration.server import Answer, Server

HANG_S = 300.0  # from its acceptance; then a job hangs, and so does a request that is not accepted as long
WAIT_S = 5.0
PAUSE_S = 0.05
LOST = (OSError, http.client.HTTPException)  # the connection died with its process


@dataclass
class Asked:
    """A job that was accepted. `seen` is its document when it had ended for the first time."""

    id: str
    kind: Kind
    at: float
    webhook: bool = False
    seen: Mapping[str, Any] | None = None


@dataclass
class Clients:
    """All clients of a run."""

    server: Server
    right: Mapping[str, Right]
    sink: Sink
    wanted: int
    webhooks: bool = True
    asked: list[Asked] = field(default_factory=list)
    statuses: Counter[int | str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self, seed: int) -> None:
        """One client, until enough was accepted or all is to stop."""
        drawn = random.Random(seed)
        while len(self.asked) < self.wanted and not self.stop.is_set():
            kind = draw(drawn)
            if kind.outlasts:
                self._make_it_look_quick(kind)
            job = self._ask(kind, drawn)
            if job is not None:
                self._see_through(job, drawn)

    def _make_it_look_quick(self, kind: Kind) -> None:
        """What a model takes is learned: without quick answers a slow one would not be asked for inline."""
        for _ in range(4):
            self._post(kind, leaf(), {}, {})

    def _ask(self, kind: Kind, drawn: random.Random) -> Asked | None:
        """The job that came of it; None where it was answered at once, or with what is no job."""
        fields, webhook = dict(kind.fields), self.webhooks and bool(kind.events) and drawn.random() < 0.5
        if webhook:
            fields |= {"webhook": self.sink.url, "webhook_events_filter": kind.events}
        headers = {"Idempotency-Key": uuid.UUID(int=drawn.getrandbits(128)).hex} if drawn.random() < 0.5 else {}
        # Bytes behind a JPEG's end change nothing of it; without them the job is joined with others of its kind. Behind
        # one that is cut off they are pixels, or even its end.
        image = kind.image + (drawn.randbytes(8) if drawn.random() < 0.7 and kind.name != "refused" else b"")
        until, answer = time.monotonic() + HANG_S, None
        while not self.stop.is_set():
            if time.monotonic() > until:
                self.wrong.append(f"{kind.name}: not accepted for {HANG_S:g} s: {answer}")
                return None
            answer = self._post(kind, image, fields, headers)
            if answer is not None and answer.status == 202:
                job = Asked(answer.json["id"], kind, time.monotonic(), webhook)
                self.asked.append(job)
                return job
            if answer is not None and answer.status == 501:
                headers = {}  # the server knows no such keys yet
            elif answer is not None and answer.status not in (429, 503, 409):
                self._check_inline(kind, answer)
                return None
            if answer is None and not headers:
                return None  # it may have been accepted: without a key nobody can tell
            self.stop.wait(PAUSE_S)
        return None

    def _post(self, kind: Kind, image: bytes, fields: Mapping[str, str], headers: dict[str, str]) -> Answer | None:
        try:
            answer = self.server.predict(image, kind.model, headers, **fields)
        except LOST:
            self.statuses["lost"] += 1
            self.stop.wait(PAUSE_S)
            return None
        self.statuses[answer.json.get("type", answer.status)] += 1
        return answer

    def _check_inline(self, kind: Kind, answer: Answer) -> None:
        if answer.status != 200:
            self.wrong.append(f"{kind.name}: {answer.status} {answer.body[:300]!r}")

    def _see_through(self, job: Asked, drawn: random.Random) -> None:
        if job.kind.canceled:
            self.stop.wait(drawn.random())
            self._read(job, "DELETE", "")
        while time.monotonic() - job.at < HANG_S:
            document = self._read(job, "GET", f"?wait={WAIT_S:g}")
            if document is not None and document["state"] in ENDED:
                job.seen = document
                self._complain(job, self.right[job.kind.name].complaint(document))
                return
        self._complain(job, f"hangs: {document}")

    def look_again(self) -> None:
        """An end is an end: what was seen once is seen again."""
        for job in self.asked:
            document = self._read(job, "GET", "")
            if job.seen is not None and document != job.seen:
                self._complain(job, f"had ended as {job.seen['state']}, then is {document}")

    def _read(self, job: Asked, method: str, query: str) -> Mapping[str, Any] | None:
        try:
            answer = self.server.request(method, f"/jobs/{job.id}{query}", timeout_s=30)
        except LOST:
            time.sleep(PAUSE_S)
            return None
        if answer.status == 503:
            time.sleep(PAUSE_S)
            return None
        if answer.status != 200:
            self._complain(job, f"{answer.status} {answer.body[:200]!r}")
            return None
        return answer.json

    def _complain(self, job: Asked, what: str) -> None:
        if what:
            self.wrong.append(f"{job.kind.name} {job.id}: {what}")
