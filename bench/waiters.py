"""Thousands of clients that wait for one job by long-polling: memory and CPU while they wait, and all are answered."""

import io
import resource
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median

from PIL import Image

from bench import messages
from bench.client import TIMEOUT_S, Address, Answer, Client, ask, others
from bench.jobs import moment_s
from bench.page import Check, Section, Table
from bench.servers import Server, running_server
from bench.workload import Measured, Options
from tests.onnx_models import sleeper

WAITERS = 5000
JOB_S = 30.0
MODEL = "sleeper"
WAIT_S = 300
CPU_S = 5.0  # over which CPU is measured while nothing happens
IDLE = 0.05  # of a core: all waiters have been taken in
LOOK_S = 0.5
SPARE_FILES = 100
OPENED_AT_ONCE = 200  # connections; far below gunicorn's backlog
TEXT = """\
Long-polls `GET /jobs/<id>?wait=` on one running job, each on a connection of its own, over all gunicorn processes.
Memory is what gunicorn's PSS grew by; CPU that of its workers while all wait; the last row is how long after the job's
end the last of them was answered."""


def measure(options: Options) -> Measured:
    waiters = options.up_to(WAITERS)
    allow_open_files(waiters + SPARE_FILES)
    with tempfile.TemporaryDirectory(prefix="punnet-bench-models-") as folder:
        sleeper(Path(folder) / MODEL / "model.onnx", JOB_S / 3 if options.quickly else JOB_S)
        with running_server(models_dir=Path(folder), wait_max_s=WAIT_S) as server:
            return _waited(server, waiters)


def section(measured: Measured) -> Section:
    rows = (("waiting connections", measured["waiters"]), ("KiB each", measured["kib_each"]),
            ("CPU of gunicorn while they wait", f"{measured['cpu_share']:.2%} of a core"),
            ("answered with the ended job", measured["answered"]), ("other answers", measured["others"] or "none"),
            ("the last one after the job's end", f"{measured['last_s']:.2f} s"))
    check = Check("waiters that were answered", measured["answered"] / measured["waiters"] * 100, 100, "%",
                  at_least=True)
    return Section("waiters: many wait for one job", TEXT, (Table(("", ""), rows),), (check,))


def allow_open_files(count: int) -> None:
    """A socket is a file; the limit that most shells set is 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise SystemExit(f"{count} open files are needed, this machine allows {hard}: raise `ulimit -Hn`")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))


def _waited(server: Server, waiters: int) -> Measured:
    _, job = ask(server.address, f"/models/{MODEL}/predict?mode=async", _white_png(), "POST", "image/png")
    before_mb = server.gunicorn_pss_mb()
    with Client(server.address) as client:
        _send(client, messages.get(f"{job['urls']['get']}?wait={WAIT_S}"), waiters)
        while _cpu_share(server, LOOK_S) > IDLE:
            pass
        each_mb, cpu_share = (server.gunicorn_pss_mb() - before_mb) / waiters, _cpu_share(server, CPU_S)
        if _state(server.address, job) not in ("queued", "processing"):
            raise RuntimeError("the job ended before all waited; this machine is slow: raise JOB_S")
        answers = _all(client)
    ended_s = moment_s(ask(server.address, job["urls"]["get"])[1]["completed_at"])
    good = [answer for answer, at_s in answers if answer.status == 200 and b'"succeeded"' in answer.body]
    return {"waiters": waiters, "kib_each": each_mb * 1e6 / 1024, "cpu_share": cpu_share, "answered": len(good),
            "others": others(Counter(answer.status for answer, _ in answers)),
            "last_s": max(at_s for _, at_s in answers) - ended_s,
            "median_s": median(at_s for _, at_s in answers) - ended_s}


def _send(client: Client, request: bytes, count: int) -> None:
    for number in range(count):
        client.send(request, time.perf_counter())
        if number % OPENED_AT_ONCE == 0:
            time.sleep(0.05)  # the listener's line of connections is finite


def _all(client: Client) -> list[tuple[Answer, float]]:
    """Every answer with the wall-clock moment it came."""
    answers: list[tuple[Answer, float]] = []
    while client.busy:
        answers += [(answer, time.time()) for answer in client.answers(TIMEOUT_S)]
    return answers


def _cpu_share(server: Server, seconds: float) -> float:
    """Of one core, of all gunicorn workers together."""
    before_s = sum(server.workers_cpu_s().values())
    time.sleep(seconds)
    return (sum(server.workers_cpu_s().values()) - before_s) / seconds


def _state(address: Address, job: dict) -> str:
    return ask(address, job["urls"]["get"])[1]["state"]


def _white_png() -> bytes:
    """What the model works long on."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), "white").save(buffer, "PNG")
    return buffer.getvalue()
