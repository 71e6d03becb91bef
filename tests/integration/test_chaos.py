"""kill -9 of random processes under load, at last of the supervisor: whatever was accepted is answered right.

`PUNNET_TEST_CHAOS_S=60 ./test.sh tests/integration/test_chaos.py -s` does it for a minute, as a release should.
"""

import http.client
import os
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import pytest

from tests.integration.images import leaf, photograph
from tests.integration.server import Server, kill, wait_until

pytestmark = pytest.mark.alone

CHAOS_S = float(os.environ.get("PUNNET_TEST_CHAOS_S", "10"))
CLIENTS = 8
KILL_EVERY_S = (0.5, 2.0)
SPARED = ("supervisord", "other")
SEED = 5


@dataclass
class Clients:
    """They post quick images, images that take longer, and tiled ones as jobs, all the time."""

    server: Server
    statuses: Counter[int | str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self, number: int) -> None:
        kinds = [(leaf(), "strawberry", "auto"), (photograph(9), "strawberry", "auto"),
                 (leaf(900), "strawberry-fruit", "async")]
        while not self.ended.is_set():
            image, model, mode = kinds[number % 8 // 3]
            try:
                answer = self.server.predict(image, model, mode=mode)
            except (OSError, http.client.HTTPException):  # the connection died with its process
                self.statuses["lost"] += 1
                time.sleep(0.05)
                continue
            self.statuses[answer.json.get("type", answer.status)] += 1
            if answer.status == 202:
                self.jobs.append(answer.json["id"])
                self.ended.wait(0.3)
            elif answer.status not in (200, 503):
                self.wrong.append(f"{answer.status} {answer.body[:300]!r}")


def test_random_kills_cost_no_job_and_bring_no_500(own_server: Server) -> None:
    own_server.settings |= {"WORKERS": 2, "JOB_WORKERS": 2}
    own_server.settings.pop("MODELS_DIR")
    own_server.start()
    clients = Clients(own_server)
    threads = [threading.Thread(target=clients.run, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        killed = kill_for(own_server, CHAOS_S)
        kill(own_server.pids()["supervisord"][0])
        own_server.start()
        wait_until(lambda: own_server.predict(leaf()).status == 200 or None, 10)
    finally:
        clients.ended.set()
        for thread in threads:
            thread.join()
    states = Counter(own_server.job(job_id, wait_s=60)["state"] for job_id in clients.jobs)
    print(f"killed {dict(killed)}, answers {dict(clients.statuses)}, jobs {dict(states)}")
    assert clients.wrong == []
    assert set(states) == {"succeeded"}
    assert killed.total() > CHAOS_S / 3


def kill_for(server: Server, seconds: float) -> Counter[str]:
    """How many of each role were killed."""
    drawn, killed, until = random.Random(SEED), Counter[str](), time.monotonic() + seconds
    while time.monotonic() < until:
        living = sorted((role, pids) for role, pids in server.pids().items() if role not in SPARED)
        if not living:  # all were killed faster than they come back
            continue
        role, pids = drawn.choice(living)
        try:
            kill(drawn.choice(pids))
            killed[role] += 1
        except ProcessLookupError:
            continue  # it ended just now, with its parent
        time.sleep(drawn.uniform(*KILL_EVERY_S))
    return killed
