"""kill -9 on anything: back within 5 s, accepted jobs answered within 15 s, the same processes as before."""

import time

import pytest

from settings import available_cores
from tests.integration.images import leaf, white
from tests.integration.server import Server, kill, wait_until

pytestmark = pytest.mark.alone

BACK_S, ANSWERED_S = 5, 15
CORES = available_cores()
ALL = {"supervisord": 1, "valkey": 1, "predictors' parent": 1, "template": 1, "quick predictor": CORES,
       "long predictor": CORES, "job predictor": 1, "worker pool": 1, "worker": 1, "deliverer": 1, "gunicorn": 1,
       "web process": 2}


def counts(server: Server) -> dict[str, int]:
    return {role: len(pids) for role, pids in server.pids().items()}


# The others are killed in test_chaos.py, too.
@pytest.mark.parametrize("role", ["supervisord", "valkey", "predictors' parent", "worker pool", "gunicorn"])
def test_killed_process_costs_no_job(own_server: Server, role: str) -> None:
    own_server.settings["WORKERS"] = 2
    own_server.start()
    wait_until(lambda: counts(own_server) == ALL or None, 10)
    jobs = [own_server.submit(white(), "sleep2"), *(own_server.submit(leaf(), "strawberry") for _ in range(3))]
    own_server.wait_for_state(jobs[0], "processing")
    kill(own_server.pids()[role][0])
    killed_at = time.monotonic()
    if role == "supervisord":
        own_server.run("start.sh")
    wait_until(lambda: own_server.predict(leaf()).status == 200 or None, BACK_S)
    back_s = time.monotonic() - killed_at
    for job_id in jobs:
        own_server.wait_for_state(job_id, "succeeded", ANSWERED_S)
    answered_s = time.monotonic() - killed_at
    print(f"{role}: back after {back_s:.1f} s, all jobs answered after {answered_s:.1f} s")
    assert back_s < BACK_S
    assert answered_s < ANSWERED_S
    wait_until(lambda: counts(own_server) == ALL or None, 10)
    own_server.stop()
    assert own_server.pids() == {}


def test_killed_everything_at_once_costs_no_job(own_server: Server) -> None:
    own_server.start()
    jobs = [own_server.submit(white(), "sleep2"), own_server.submit(leaf(), "strawberry")]
    own_server.wait_for_state(jobs[0], "processing")
    for pids in own_server.pids().values():
        for pid in pids:
            try:
                kill(pid)
            except ProcessLookupError:
                continue  # the kernel ended it with its parent
    own_server.start()
    for job_id in jobs:
        own_server.wait_for_state(job_id, "succeeded", ANSWERED_S)
