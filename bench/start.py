"""Cold start: from running ./start.sh, with the venv ready, to the first 200 for a picture.

The files of venv and model are in the page cache after the first.
"""

import http.client
import time
from typing import Any

from bench.client import ask
from bench.floor import QUICK_MODEL
from bench.page import Check, Section, Table
from bench.pictures import SAMPLES
from bench.servers import Server, instance
from bench.stats import median_of
from bench.workload import Measured, Options

STARTS = 5
LIMIT_S = 3.0
POLL_S = 0.02
GIVE_UP_S = 60
TEXT = "From running `./start.sh`, with the venv ready, to the first 200 of `POST /predict`; medians of the starts."


def measure(options: Options) -> Measured:
    return {"starts": [_cold_start() for _ in range(options.up_to(STARTS))]}


def section(measured: Measured) -> Section:
    starts = measured["starts"]
    first_s, returned_s = median_of(starts, "first_s"), median_of(starts, "returned_s")
    table = Table(("starts", "first 200 after", "./start.sh returned after"),
                  ((len(starts), f"{first_s:.2f} s", f"{returned_s:.2f} s"),))
    return Section("start: cold start", TEXT, (table,), (Check("cold start", first_s, LIMIT_S, "s"),))


def _cold_start() -> dict[str, Any]:
    """Seconds until the first 200, and until ./start.sh has returned."""
    picture = (SAMPLES / "leaf.jpg").read_bytes()
    with instance() as server:
        begin_s = time.perf_counter()
        starting = server.start()
        while not _answers(server, picture):
            if starting.poll() not in (None, 0) or time.perf_counter() - begin_s > GIVE_UP_S:
                raise SystemExit("the server did not start")
            time.sleep(POLL_S)
        first_s = time.perf_counter() - begin_s
        starting.wait()
        return {"first_s": first_s, "returned_s": time.perf_counter() - begin_s}


def _answers(server: Server, picture: bytes) -> bool:
    try:
        return ask(server.address, f"/predict?model_type={QUICK_MODEL}", picture, "POST")[0] == 200
    except (OSError, http.client.HTTPException):
        return False
