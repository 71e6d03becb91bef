"""Quick requests at a fixed rate, alone and beside 1,000 connections that send nothing. Alone and beside take turns,
with one server for all rounds."""

import contextlib
import selectors
import socket
import time
from collections.abc import Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection as Pipe
from typing import Any

from bench import servers
from bench.client import Address, closed_loop, open_loop
from bench.flood import CAPACITY_CONNECTIONS, CAPACITY_S, RATE_SHARE
from bench.page import Check, Section, Table
from bench.stats import median_of, median_ratio, others_cell, percentile
from bench.workload import Measured, Options

CONNECTIONS = 1000
LEAD_S = 2.0  # until the server has heard of them all, also when they go
REQUESTS = 1000  # of each condition and round
ROUNDS = 9
LIMIT = 1.2  # times the p99 alone
PERCENTS = {"p50": 50.0, "p99": 99.0}
Round = dict[str, Any]
TEXT = f"""\
Quick JPEGs of 224 pixels at half of the capacity, alone and while a process of its own holds {CONNECTIONS} connections
open that send nothing; whenever the server closes one, which it does after 5 s, the process opens it anew."""


def measure(options: Options) -> Measured:
    server = servers.punnet()
    quick = server.quick_requests()
    with server.run() as service:
        capacity = closed_loop(service.address, quick, CAPACITY_CONNECTIONS, options.seconds(CAPACITY_S))
        sending = service.address, quick, capacity.per_s * RATE_SHARE, options.count(REQUESTS)
        return {"rounds": [_round(sending) for _ in range(max(options.rounds, ROUNDS) if options.scale >= 1 else 1)]}


def section(measured: Measured) -> Section:
    rounds: list[Round] = measured["rounds"]
    rows = tuple((name, median_of(rounds, f"alone_{name}_ms"), median_of(rounds, f"beside_{name}_ms"),
                  _ratio(rounds, name), others_cell(rounds)) for name in PERCENTS)
    table = Table(("quick ms", "alone", f"beside {CONNECTIONS}", "ratio", "other answers"), rows)
    return Section("silent: connections that send nothing", TEXT, (table,),
                   (Check("quick p99 beside silent connections against alone", _ratio(rounds, "p99"), LIMIT, "x"),))


def _round(sending: tuple[Address, list[bytes], float, int]) -> Round:
    alone = open_loop(*sending)
    with _silent(sending[0]):
        beside = open_loop(*sending)
    one = {f"{name}_{percent}_ms": percentile(load.latencies_ms, PERCENTS[percent])
           for name, load in (("alone", alone), ("beside", beside)) for percent in PERCENTS}
    print(f"  p99 {one['alone_p99_ms']:.1f} ms alone, {one['beside_p99_ms']:.1f} ms beside", flush=True)
    return one | {"others": alone.others + beside.others}


@contextlib.contextmanager
def _silent(address: Address) -> Iterator[None]:
    """Hold the connections open, from when all of them are."""
    ours, theirs = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=_hold, args=(address, theirs), daemon=True)
    process.start()
    ours.recv()
    time.sleep(LEAD_S)
    try:
        yield
    finally:
        process.terminate()
        process.join()
        time.sleep(LEAD_S)


def _hold(address: Address, opened: Pipe) -> None:
    selector = selectors.DefaultSelector()
    for _ in range(CONNECTIONS):
        selector.register(socket.create_connection(address), selectors.EVENT_READ)
    opened.send(True)
    while True:
        for key, _ in selector.select():
            closed = selector.unregister(key.fileobj).fileobj
            assert isinstance(closed, socket.socket)
            closed.close()
            selector.register(socket.create_connection(address), selectors.EVENT_READ)


def _ratio(rounds: list[Round], percent: str) -> float:
    return median_ratio(rounds, f"beside_{percent}_ms", f"alone_{percent}_ms")
