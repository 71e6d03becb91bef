"""Whether the hub stays free while large uploads arrive: GET /livez beside 15-MB bodies on 16 connections."""

import time
from multiprocessing.pool import Pool

from bench import messages, pictures
from bench.client import Address, Load, client_process, closed_loop, open_loop
from bench.floor import QUICK_MODEL
from bench.page import Check, Section, Table
from bench.servers import running_server
from bench.stats import median_of, percentile
from bench.workload import Measured, Options

BODY_BYTES = 15_000_000
SIDE = 224
CONNECTIONS = 16
RATE_PER_S = 100
LEAD_S = 1.0
LIMIT_MS = 50.0
TEXT = f"""\
`GET /livez` {RATE_PER_S} times a second at a fixed rate, alone and while multipart bodies of 15 MB (a 224-pixel JPEG
with bytes behind its end, quick to predict) arrive on 16 connections in a closed loop, from a client of its own."""


def measure(options: Options) -> Measured:
    upload = messages.multipart(f"/models/{QUICK_MODEL}/predict",
                                pictures.padded(pictures.leaf_jpegs(SIDE)[0], BODY_BYTES))
    with running_server() as server, client_process() as client, client_process() as uploader:
        return {"rounds": [_round(server.address, client, uploader, upload, options) for _ in range(options.rounds)]}


def section(measured: Measured) -> Section:
    rounds = measured["rounds"]
    table = Table(("", "alone", "beside the uploads"), tuple(
        (f"{value} ms", median_of(rounds, f"alone {value}"), median_of(rounds, f"beside {value}"))
        for value in ("p50", "p99", "slowest")))
    uploads = Table(("15-MB bodies per second",), ((median_of(rounds, "uploads_per_s"),),))
    check = Check("p99 of /livez beside 15-MB uploads", median_of(rounds, "beside p99"), LIMIT_MS, "ms")
    return Section("livez: a free hub during large uploads", TEXT, (table, uploads), (check,))


def _round(address: Address, client: Pool, uploader: Pool, upload: bytes, options: Options) -> dict[str, float]:
    asking = (address, [messages.get("/livez")], RATE_PER_S, options.requests)
    alone: Load = client.apply(open_loop, asking)
    seconds = 2 * LEAD_S + options.requests / RATE_PER_S
    uploading = uploader.apply_async(closed_loop, (address, [upload], CONNECTIONS, seconds))
    time.sleep(LEAD_S)
    beside: Load = client.apply(open_loop, asking)
    return _times("alone", alone) | _times("beside", beside) | {"uploads_per_s": uploading.get().per_s}


def _times(name: str, load: Load) -> dict[str, float]:
    return {f"{name} p50": percentile(load.latencies_ms, 50), f"{name} p99": percentile(load.latencies_ms, 99),
            f"{name} slowest": max(load.latencies_ms)}
