"""Where webhooks go: it remembers what came."""

import http.server
import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

ORDER = ("start", "progress", "completed")


@dataclass
class Sink:
    url: str
    events: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))  # job -> event, its id
    failing: bool = False

    def complaint(self, job_id: str) -> str:
        """What is wrong with what came of a job; "" where nothing is. The same event may have come more than once."""
        came = self.events.get(job_id, [])
        firsts = list(dict.fromkeys((event, number) for event, number in came))
        ranks = [ORDER.index(event) for event, _ in firsts]
        if not ranks or firsts[-1][0] != "completed":
            return f"its end was not told: {came}"
        return "" if ranks == sorted(ranks) else f"told out of order: {came}"

    def wait_for(self, jobs: Mapping[str, object], patience_s: float) -> None:
        """Until the end of each was told, or so long."""
        until = time.monotonic() + patience_s
        while time.monotonic() < until and any(self.complaint(job_id) for job_id in jobs):
            time.sleep(0.2)


@contextmanager
def listening() -> Iterator[Sink]:
    """A sink that takes webhooks of any job."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            sink.events[json.loads(body)["id"]].append((self.headers["Punnet-Event"], self.headers["webhook-id"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *given: object) -> None:
            """Nothing is said of what went well."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    sink = Sink(f"http://127.0.0.1:{server.server_port}/hook")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield sink
    finally:
        server.shutdown()
        server.server_close()
