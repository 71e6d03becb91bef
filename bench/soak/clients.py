"""What callers do, and what they are answered."""

import contextlib
import http.client
import json
import random
import threading
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import quote

from bench import images
from bench.client import Address

QUICK, LARGE = "strawberry", "large"
CLIENTS = 4


def _photos() -> list[bytes]:
    """Leaves, and one larger photograph."""
    return [*images.leaves()[:4], images.photograph((1600, 1200))]


PHOTOS = _photos()


@dataclass
class Clients:
    """What callers do until `ended` is set, and what they were answered."""

    address: Address
    seed: int
    sink_url: str
    ended: threading.Event = field(default_factory=threading.Event)
    answers: Counter[str] = field(default_factory=Counter)
    asked: int = 0

    def run(self) -> None:
        threads = [threading.Thread(target=self._work, args=(random.Random(self.seed + number),))
                   for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _work(self, drawn: random.Random) -> None:
        kinds = (self._succeeds, self._succeeds, self._is_drawn, self._is_large, self._is_large, self._fails,
                 self._is_canceled, self._is_late, self._is_abandoned)
        while not self.ended.is_set():
            drawn.choice(kinds)(drawn)
            self.asked += 1

    def _succeeds(self, drawn: random.Random) -> None:
        self._result("succeeded", self._submit(drawn, QUICK))

    def _is_drawn(self, drawn: random.Random) -> None:
        self._result("drawn", self._submit(drawn, QUICK), accept="image/png")

    def _is_large(self, drawn: random.Random) -> None:
        self._result("large", self._submit(drawn, LARGE))

    def _fails(self, drawn: random.Random) -> None:
        image = drawn.choice(PHOTOS)
        self._result("failed", self._submit(drawn, QUICK, image[:len(image) * 2 // 3]))

    def _is_canceled(self, drawn: random.Random) -> None:
        if url := self._submit(drawn, LARGE):
            self.answers[f"canceled {self._ask('DELETE', url)[0]}"] += 1

    def _is_late(self, drawn: random.Random) -> None:
        self._result("late", self._submit(drawn, LARGE, more="&timeout=20ms"))

    def _is_abandoned(self, drawn: random.Random) -> None:
        self._submit(drawn, drawn.choice((QUICK, LARGE)))

    def _submit(self, drawn: random.Random, model: str, image: bytes = b"", more: str = "") -> str:
        """Where to ask for the job; "" where there is none. Half of the images are sent again and again, so that their
        jobs are joined; a third have a webhook, and half a key, of which some were used before."""
        image = image or drawn.choice(PHOTOS) + (drawn.randbytes(8) if drawn.random() < 0.5 else b"")
        hook = f"&webhook={quote(self.sink_url)}" if drawn.random() < 0.3 else ""
        headers = {"Idempotency-Key": f"{drawn.randrange(10_000)}"} if drawn.random() < 0.5 else {}
        status, body = self._ask("POST", f"/models/{model}/predict?mode=async{more}{hook}", image, headers)
        self.answers[f"submitted {status}"] += 1
        return json.loads(body)["urls"]["get"] if status == 202 else ""

    def _result(self, kind: str, url: str, accept: str = "application/json") -> None:
        if url:
            status, _ = self._ask("GET", f"{url}/result?wait=30", headers={"Accept": accept})
            self.answers[f"{kind} {status}"] += 1

    def _ask(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
             ) -> tuple[int, bytes]:
        with contextlib.closing(http.client.HTTPConnection(*self.address, timeout=60)) as connection:
            connection.request(method, path, body, {"Content-Type": "image/jpeg"} | (headers or {}))
            answer = connection.getresponse()
            return answer.status, answer.read()
