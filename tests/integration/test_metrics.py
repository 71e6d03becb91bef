"""The numbers of /metrics are those that a client counts, though processes are killed meanwhile."""

import os
import random
import re
import socket
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPException

from tests.integration.images import leaf
from tests.integration.server import Answer, Server, kill, wait_until

REQUESTS = int(os.environ.get("PUNNET_TEST_REQUESTS", "150"))  # 1000 for the long version
CLIENTS = 4
KILLED = ("web process", "worker", "quick predictor")
SERIES = re.compile(r"^(\w+)\{(.*)\} (\S+)$", re.MULTILINE)
Labels = tuple[str, ...]


@dataclass
class Client:
    """Sends requests of every kind, and counts what is answered."""

    server: Server
    answered: Counter[Labels] = field(default_factory=Counter)  # method, path, status
    refused: Counter[Labels] = field(default_factory=Counter)  # problem
    broken: int = 0  # connections of a process that was killed: nobody knows whether they were counted
    jobs: list[str] = field(default_factory=list)

    def send(self, number: int) -> None:
        kinds = self.kinds(number)
        method, path, call = kinds[number % len(kinds)]
        try:
            answer = call()
        except (OSError, HTTPException):
            self.broken += 1
            return
        self.answered[method, path, str(answer.status)] += 1
        if "problem" in answer.headers["Content-Type"]:
            self.refused[answer.json["type"].rpartition("/")[2],] += 1
        elif answer.status == 202 and method == "POST":
            self.jobs.append(answer.json["id"])

    def kinds(self, number: int) -> list[tuple[str, str, Callable[[], Answer]]]:
        server, job = self.server, self.jobs[-1] if self.jobs else "none"
        predict = ("POST", "/predict")
        return [
            (*predict, lambda: server.predict(leaf())),
            (*predict, lambda: server.predict(leaf(60 + number), mode="async")),  # no two jobs are the same
            (*predict, lambda: server.predict(leaf(), top_k="0")), (*predict, lambda: server.predict(b"no image")),
            (*predict, lambda: server.predict(leaf(), "nobody")),
            ("POST", "/models/{model_type}/predict", lambda: server.request(
                "POST", "/models/strawberry/predict", leaf(), {"Content-Type": "image/jpeg"})),
            ("GET", "/jobs/{job_id}", lambda: server.get(f"/jobs/{job}")),
            ("GET", "/jobs/{job_id}/result", lambda: server.get(f"/jobs/{job}/result?wait=5")),
            ("DELETE", "/jobs/{job_id}", lambda: server.request("DELETE", f"/jobs/{job}")),
            ("GET", "/jobs", lambda: server.get("/jobs")), ("GET", "/models", lambda: server.get("/models")),
            ("GET", "", lambda: server.get("/nowhere")), ("", "", lambda: server.request("PUT", "/predict"))]

    def ends(self) -> Counter[Labels]:
        """How the jobs ended."""
        return Counter(("strawberry", self.server.job(job_id, wait_s=30)["state"]) for job_id in self.jobs)


def told(server: Server, name: str, *labels: str) -> Counter[Labels]:
    """A metric by these labels, without what reading it counts."""
    found: Counter[Labels] = Counter()
    for series, text, value in SERIES.findall(server.get("/metrics").body.decode()):
        given = dict(re.findall(r'(\w+)="([^"]*)"', text))
        if series == name and given.get("path") != "/metrics":
            found[tuple(given[label] for label in labels)] += round(float(value))
    return +found


def send_garbage(server: Server) -> None:
    """What gunicorn refuses before our code hears of it."""
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        connection.sendall(b"GARBAGE\r\n\r\n")
        assert connection.recv(64).startswith(b"HTTP/1.1 400")


def kill_one(server: Server, role: str) -> bool:
    """One that lives: what was just found may have ended."""
    kill(server.pids()[role][0])
    return True


def test_every_counter_equals_what_the_client_counted(own_server: Server) -> None:
    own_server.settings |= {"WORKERS": 3, "JOB_WORKERS": 2}
    own_server.start()
    client, before = Client(own_server), told(own_server, "punnet_http_requests_total", "method", "path", "status")
    refused_before = told(own_server, "punnet_refusals_total", "problem")
    numbers = random.Random(1).sample(range(REQUESTS), REQUESTS)
    moments = {REQUESTS * (turn + 1) // 4: role for turn, role in enumerate(KILLED)}
    with ThreadPoolExecutor(CLIENTS) as senders:
        for at, _ in enumerate(senders.map(client.send, numbers)):
            if at in moments:
                wait_until(partial(kill_one, own_server, moments[at]), 10)
    send_garbage(own_server)
    ends = client.ends()
    client.answered["GET", "/jobs/{job_id}", "200"] += len(client.jobs)
    client.answered["", "", "400"] += 1
    client.refused["bad-request",] += 1

    counted = told(own_server, "punnet_http_requests_total", "method", "path", "status") - before
    assert (client.answered - counted, sum((counted - client.answered).values()) <= client.broken) == ({}, True)
    refused = told(own_server, "punnet_refusals_total", "problem") - refused_before
    assert (client.refused - refused, sum((refused - client.refused).values()) <= client.broken) == ({}, True)
    ended = told(own_server, "punnet_jobs_ended_total", "model", "state")
    assert (ends - ended, sum((ended - ends).values()) <= client.broken) == ({}, True)
    predicted = sum(told(own_server, "punnet_prediction_seconds_count", "model").values())
    inline = sum(count for (method, _, status), count in client.answered.items() if (method, status) == ("POST", "200"))
    # A worker that is killed in the moment in which its job has ended has not measured it.
    assert -1 <= predicted - inline - ended["strawberry", "succeeded"] <= client.broken

    alive = {("web process",): 3, ("worker",): 2, ("job predictor",): 2}
    wait_until(lambda: alive.items() <= told(own_server, "punnet_processes", "role").items() or None, 20)
    died = told(own_server, "punnet_processes_died_total", "role")
    assert died == {(role,): 1 for role in KILLED}
    looks = [told(own_server, "punnet_http_requests_total", "method", "path", "status") for _ in range(6)]
    assert all(look == looks[0] for look in looks)  # whichever process is asked
