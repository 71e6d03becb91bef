"""`./punnet predict` over a folder of small images, against the server's own best throughput with the same images."""

import os
import subprocess
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path
from statistics import median

from bench import images
from bench.client import each_once
from bench.page import Check, Section, Table
from bench.peers.models import QUICK
from bench.servers import Service, running_punnet
from bench.stats import median_of
from bench.workload import Measured, Options
from settings import ROOT

IMAGES = 500
CONNECTIONS = (4, 8, 16, 32)
COMMAND_LINE = "./punnet predict"
LIMIT = 0.9
TEXT = f"""\
{IMAGES} different leaves of {images.SMALL_SIDE} pixels. The server's own throughput is that of the benchmarks' client,
which sends raw bodies over so many connections; the best of them counts. The command line is timed from its start to
its end, with Python, the table that it prints, the journal for `--resume` and an `Idempotency-Key` for each image."""
Round = dict[str, float]  # images per second, by who sends them


def measure(options: Options) -> Measured:
    leaves = islice(cycle(images.leaves()), options.count(IMAGES))
    sent = [images.apart(leaf) for leaf in leaves]
    with running_punnet() as service, tempfile.TemporaryDirectory(prefix="punnet-images-") as folder:
        for number, image in enumerate(sent):
            (Path(folder) / f"{number:04}.jpg").write_bytes(image)
        _own_per_s(service, sent, CONNECTIONS[0])  # costs are learned
        return {"rounds": [_round(service, sent, folder) for _ in range(options.rounds)]}


def section(measured: Measured) -> Section:
    rounds: list[Round] = measured["rounds"]
    rows = [(sender, median_of(rounds, sender)) for sender in rounds[0]]
    best = max(map(_connections, CONNECTIONS), key=lambda sender: median_of(rounds, sender))
    ratio = median(one[COMMAND_LINE] / one[best] for one in rounds)
    check = Check(f"{COMMAND_LINE}, {IMAGES} images: of the server's own best throughput", ratio, LIMIT, at_least=True)
    return Section("command line: a folder of small images", TEXT, (Table(("sent by", "per second"), tuple(rows)),),
                   (check,))


def _round(service: Service, sent: list[bytes], folder: str) -> Round:
    own = {_connections(count): _own_per_s(service, sent, count) for count in CONNECTIONS}
    return own | {COMMAND_LINE: _command_line_per_s(service, len(sent), folder)}


def _own_per_s(service: Service, sent: list[bytes], connections: int) -> float:
    load = each_once(service.address, map(_request, sent), connections)
    if load.others:
        raise RuntimeError(f"the server answered {load.others}")
    return load.per_s


def _command_line_per_s(service: Service, count: int, folder: str) -> float:
    host, port = service.address
    with tempfile.TemporaryDirectory(prefix="punnet-journal-") as cache:
        begin_s = time.perf_counter()
        subprocess.run([ROOT / "punnet", "--url", f"http://{host}:{port}", "predict", folder, "--model", QUICK],
                       env=os.environ | {"XDG_CACHE_HOME": cache}, stdout=subprocess.DEVNULL, check=True)
        return count / (time.perf_counter() - begin_s)


def _request(image: bytes) -> bytes:
    head = (f"POST /predict?model_type={QUICK}&mode=sync HTTP/1.1\r\nHost: localhost\r\n"
            f"Content-Type: application/octet-stream\r\nContent-Length: {len(image)}\r\n\r\n")
    return head.encode() + image


def _connections(count: int) -> str:
    return f"{count} connections"
