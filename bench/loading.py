"""A start with many models that were never tried: when the first is served, when all are, and whether all who tell of
it say the same meanwhile."""

import contextlib
import http.client
import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import images, machine, many_models, servers
from bench.client import multipart
from bench.page import Check, Section, Table
from bench.stats import median_of
from bench.workload import Measured, Options
from ops import processes
from settings import PREFIX, ROOT

MODELS = 46
LIMITS_S = {"first_s": 3.0, "all_s": 40.0}
PATIENCE_S, POLL_S = 180.0, 0.05
STARTED_S = 15.0  # after so long /readyz says 200 while some models load
Round = dict[str, Any]
TEXT = f"""\
`./start.sh` with a state folder of its own and {MODELS} models of 0.1 to 25 MB that no earlier start has tried.
Seconds count from the call of `./start.sh`: until a model answers an image with 200, until `./start.sh` comes back, and
until no model loads any more. Every {POLL_S * 1000:.0f} ms `/readyz` and `GET /models` are asked; a disagreement is a
`/readyz` of 200 before its time, or of 503 after it, or a greeting of `./start.sh` that leaves out models which
`GET /models` lists as loading."""


def measure(options: Options) -> Measured:
    count = options.count(MODELS)
    return {"rounds": [_round(count) for _ in range(options.rounds)]}


def section(measured: Measured) -> Section:
    rounds: list[Round] = measured["rounds"]
    heads = ("models", "first served, s", "start.sh came back, s", "all served, s", "CPU s", "load average",
             "disagreements")
    rows = tuple((one["models"], one["first_s"], one["started_s"], one["all_s"], one["cpu_s"],
                  one["load"], "; ".join(one["disagreements"]) or "0") for one in rounds)
    checks = tuple(Check(f"{key.removesuffix('_s')} of {MODELS} models served", median_of(rounds, key), limit, "s")
                   for key, limit in LIMITS_S.items())
    return Section("loading: a start with many models", TEXT, (Table(heads, rows),), checks)


def _round(count: int) -> Round:
    with tempfile.TemporaryDirectory(prefix="punnet-bench-") as name:
        home, port = Path(name).resolve(), servers.free_port()
        many_models.make(home / "models", count)
        values = {"state_dir": home / "state", "log_dir": home / "log", "bind": f"127.0.0.1:{port}", "api_keys": "",
                  "redis_url": "", "models_dir": home / "models"}
        environment = os.environ | {PREFIX + key.upper(): str(value) for key, value in values.items()}
        try:
            found = _watched(environment, port, home / "greeting", count)
            return found | {"cpu_s": machine.cpu_s(processes.marked(home / "state"))}
        finally:
            subprocess.run(["./stop.sh"], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, check=True)


def _watched(environment: Mapping[str, str], port: int, greeting: Path, count: int) -> Round:
    load, began = os.getloadavg()[0], time.monotonic()
    found: Round = {"models": count, "load": load, "first_s": None, "started_s": None, "all_s": None,
                    "disagreements": []}
    with greeting.open("wb") as out:
        start = subprocess.Popen(["./start.sh"], cwd=ROOT, env=environment, stdout=out)
    while found["all_s"] is None or found["started_s"] is None:
        elapsed = time.monotonic() - began
        if elapsed > PATIENCE_S:
            raise SystemExit(f"after {elapsed:.0f} s not all models are served: {_states(port)}")
        _note(found, port, elapsed)
        if found["started_s"] is None and start.poll() is not None:
            found["started_s"] = elapsed
            found["disagreements"] += _told_wrongly(greeting.read_text(), _states(port))
        time.sleep(POLL_S)
    print(f"  first {found['first_s']:.1f} s, start.sh {found['started_s']:.1f} s, all {found['all_s']:.1f} s",
          flush=True)
    return found


def _note(found: Round, port: int, elapsed_s: float) -> None:
    """Look once. Models may become ready between the questions: only what was so before and after counts."""
    before, ready, after = _states(port), _get(port, "/readyz")[0] == 200, _states(port)
    if not after:
        return
    served = [name for name, state in after.items() if state == "ready"]
    if found["first_s"] is None and served and _predicts(port, served[0]):
        found["first_s"] = elapsed_s
    if found["all_s"] is None and len(served) == len(after):
        found["all_s"] = elapsed_s
    is_loading = "loading" in before.values() and "loading" in after.values()
    if ready and is_loading and elapsed_s < STARTED_S:
        found["disagreements"].append(f"/readyz 200 at {elapsed_s:.1f} s while models load")
    if not ready and before and "loading" not in before.values():
        found["disagreements"].append(f"/readyz 503 at {elapsed_s:.1f} s though none loads")


def _told_wrongly(text: str, states: Mapping[str, str]) -> list[str]:
    """What start.sh says still loads, and does not, though it may have ended in this moment; or is left out."""
    told = set(text.partition("as soon as that is done: ")[2].strip().split(", ")) - {""}
    left_out = {name for name, state in states.items() if state == "loading"} - told
    return [f"start.sh leaves out {', '.join(sorted(left_out))}"] * bool(left_out)


def _states(port: int) -> dict[str, str]:
    """Each model's state as GET /models lists it; nothing while nobody answers."""
    status, body = _get(port, "/models")
    return {model["name"]: model["state"] for model in json.loads(body)["models"]} if status == 200 else {}


def _predicts(port: int, model: str) -> bool:
    request = multipart(f"/models/{model}/predict", images.leaves()[0])
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        return connection.recv(16).split()[1:2] == [b"200"]
    return False


def _get(port: int, path: str) -> tuple[int, bytes]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
