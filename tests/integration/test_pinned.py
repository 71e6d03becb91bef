"""Connections that all came to one gunicorn process."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.pictures import white
from tests.integration.server import Server, wait_until


@pytest.fixture
def pinned(own_server: Server) -> Iterator[Server]:
    """The first of two processes takes no connections: it is held."""
    own_server.settings |= {"WORKERS": 2, "INLINE_BUDGET_MS": 60_000}
    own_server.start()
    wait_until(lambda: len(own_server.pids()["gunicorn child"]) == 2, 20)
    held = own_server.pids()["gunicorn child"][0]
    os.kill(held, signal.SIGSTOP)
    yield own_server
    os.kill(held, signal.SIGCONT)


def test_the_slot_of_a_process_that_is_idle_is_used_by_another(pinned: Server) -> None:
    with ThreadPoolExecutor() as clients:
        answers = list(clients.map(lambda _: pinned.predict(white(), "sleep2"), range(2)))
    assert [answer.status for answer in answers] == [200, 200]
    assert max(answer.json["timings_ms"]["queue"] for answer in answers) < 500  # not the 2 s of the other
