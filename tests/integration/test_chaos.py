"""kill -9 of random processes under load, at last of the supervisor: whatever was accepted is answered right.

`PUNNET_TEST_CHAOS_S=60 ./test.sh tests/integration/test_chaos.py -s` does it for a minute; `python -m bench.chaos` for
1,000 jobs, as a release should.
"""

import os

from bench.chaos.__main__ import table
from bench.chaos.kills import SUPERVISOR
from bench.chaos.run import prepare, run
from tests.integration.images import leaf
from tests.integration.server import Server, kill, wait_until

CHAOS_S = float(os.environ.get("PUNNET_TEST_CHAOS_S", "10"))
CLIENTS, SEED = 8, 5


def test_random_kills_cost_no_job_and_bring_no_500(own_server: Server) -> None:
    prepare(own_server)
    own_server.start()
    found = run(own_server, SEED, CHAOS_S, 10**9, CLIENTS, spared=(SUPERVISOR,), webhooks=False)
    print(table(found, SEED))
    assert found.wrong == []
    assert found.jobs.total() > CHAOS_S / 3
    assert found.killed.total() > CHAOS_S / 6
    kill(own_server.pids()[SUPERVISOR][0])
    own_server.start()
    wait_until(lambda: own_server.predict(leaf()).status == 200 or None, 10)
