"""A real Punnet for a test: started by ./start.sh with a state folder and a port of its own, stopped by ./stop.sh."""

import atexit
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from ops import processes
from settings import ROOT

T = TypeVar("T")
# Trials' results are shared by the servers of a test run, as a state folder keeps them from one start to the next.
TRIALS = Path(tempfile.mkdtemp(prefix="punnet-trials-"))
atexit.register(shutil.rmtree, TRIALS, ignore_errors=True)
BOUNDARY = "punnet-test-boundary"
# What `ps -o comm` shows of processes that say what they are -> their role.
ROLES = {"punnet-parent": "predictors' parent", "punnet-templ": "template", "punnet-quick": "quick predictor",
         "punnet-long": "long predictor", "punnet-job": "job predictor", "punnet-worker": "worker",
         "punnet-webhooks": "deliverer"}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def is_problem(self, status: int, slug: str) -> bool:
        return (self.status == status and self.headers["Content-Type"] == "application/problem+json"
                and self.json["type"] == f"/problems/{slug}" and self.json["status"] == status)


@dataclass
class Server:
    """One instance below `home`; `settings` are PUNNET_ variables without the prefix, `variables` are others.
    `knows_trials`: models that another server of the test run has tried are not tried again. `host` is an address
    in its network namespace, where that is another than the test's."""

    home: Path
    settings: dict[str, Any] = field(default_factory=dict)
    port: int = field(default_factory=lambda: free_port())
    knows_trials: bool = True
    variables: dict[str, str] = field(default_factory=dict)
    host: str = "127.0.0.1"
    namespace: str = ""

    @property
    def state_dir(self) -> Path:
        return self.home / "var"

    @property
    def environment(self) -> dict[str, str]:
        given = {"STATE_DIR": self.state_dir, "LOG_DIR": self.home / "logs", "BIND": f"{self.host}:{self.port}",
                 "JOB_WORKERS": 1, **self.settings}
        outside = {name: value for name, value in os.environ.items() if not name.startswith("PUNNET_")}
        return outside | self.variables | {f"PUNNET_{name}": str(value) for name, value in given.items()}

    def start(self, *options: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Start, and wait for the first worker: the service is ready before it is."""
        self.prepare()
        done = self.run("start.sh", *options, check=check)
        if done.returncode == 0 and self.settings.get("ROLES") != "web":
            wait_until(lambda: self.pids().get("worker"), 20)
        return done

    def prepare(self) -> None:
        if self.knows_trials and not self.state_dir.exists():
            self.state_dir.mkdir(parents=True)
            self.state_dir.joinpath("trials").symlink_to(TRIALS)

    def stop(self) -> subprocess.CompletedProcess[str]:
        return self.run("stop.sh")

    def run(self, script: str, *options: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        # A file, not a pipe: the daemon keeps its standard output open.
        with (self.home / f"{script}.out").open("w+") as out:
            done = subprocess.run([*self._inside, str(ROOT / script), *options], env=self.environment, cwd="/",
                                  stdout=out, stderr=subprocess.STDOUT, timeout=120, check=False)
            out.seek(0)
            text = out.read()
        assert not check or done.returncode == 0, text
        return subprocess.CompletedProcess(done.args, done.returncode, text, "")

    @property
    def _inside(self) -> list[str]:
        return ["ip", "netns", "exec", self.namespace] if self.namespace else []

    def request(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None,
                timeout_s: float = 90) -> Answer:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout_s)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def get(self, path: str, **options: Any) -> Answer:
        return self.request("GET", path, **options)

    def predict(self, image: bytes, model_type: str = "strawberry", headers: dict[str, str] | None = None,
                **fields: str) -> Answer:
        """A multipart upload."""
        body = multipart({"model_type": model_type, **fields}, image)
        kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        return self.request("POST", "/predict", body, kind | (headers or {}))

    def submit(self, image: bytes, model_type: str) -> str:
        """A job's id. Bytes behind the image tell it from the others, so that it is computed itself."""
        answer = self.predict(image + uuid.uuid4().bytes, model_type, mode="async")
        assert answer.status == 202, answer.body
        return answer.json["id"]

    def job(self, job_id: str, wait_s: float = 0) -> dict:
        return self.get(f"/jobs/{job_id}?wait={wait_s}").json

    def wait_for_state(self, job_id: str, state: str, timeout_s: float = 30) -> dict:
        return wait_until(lambda: job if (job := self.job(job_id))["state"] == state else None, timeout_s)

    def pids(self) -> dict[str, list[int]]:
        """Role -> pids. A trial under way is an "other"."""
        roles = defaultdict(list)
        for pid in processes.marked(self.state_dir):
            roles[_role(pid)].append(pid)
        return dict(roles)

    def log(self, name: str) -> str:
        return (self.home / "logs" / name).read_text()


@contextlib.contextmanager
def web_beside(server: Server, home: Path, **settings: Any) -> Iterator[Server]:
    """Another gunicorn before the predictors and workers of a running server, with settings of its own."""
    other = Server(home, {**server.settings, "STATE_DIR": server.state_dir, "WORKERS": 1, **settings})
    (home / "logs").mkdir()
    gunicorn = subprocess.Popen([sys.executable, "-m", "gunicorn", "-c", "gunicorn/gunicorn_cfg.py", "wsgi:app"],
                                cwd=ROOT, env=other.environment)
    try:
        wait_until(lambda: other.get("/livez").status == 200, 20)
        yield other
    finally:
        gunicorn.terminate()
        gunicorn.wait(20)


def multipart(fields: dict[str, str], image: bytes | None, name: str = "img_file") -> bytes:
    parts = [f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
             for key, value in fields.items()]
    if image is not None:
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="a.jpg"\r\n\r\n'
        parts.append(head.encode() + image + b"\r\n")
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def wait_until(look: Callable[[], T | None], timeout_s: float) -> T:
    """The first true value of `look`; an error of a connection counts as none."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            if value := look():
                return value
        except (OSError, http.client.HTTPException, KeyError, ValueError):
            pass
        time.sleep(0.02)
    raise AssertionError(f"nothing within {timeout_s} s")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def memory_mb(pids: Iterable[int]) -> float:
    """Memory of processes together in MB of 1,000,000 bytes, what they share counted once. The kernel's PSS would
    charge a part of a library's pages to the process of the tests, which has loaded the same libraries."""
    own_kb, files_kb = 0, Counter[str]()
    for pid in pids:
        with contextlib.suppress(OSError):  # it ended just now
            own, of_files = _mapped_kb(pid)
            own_kb += own
            files_kb |= of_files  # the larger of two counts of a file's pages
    return (own_kb + files_kb.total()) * 1024 / 1e6


def _mapped_kb(pid: int) -> tuple[int, Counter[str]]:
    """A process's share of its own pages, and the resident pages of each file that it maps unchanged."""
    files, name = Counter[str](), ""
    for words in map(str.split, Path(f"/proc/{pid}/smaps").read_text().splitlines()):
        if not words[0].endswith(":"):
            name = words[5] if len(words) > 5 else ""
        elif words[0] in ("Rss:", "Anonymous:") and name.startswith("/"):
            files[name] += int(words[1]) if words[0] == "Rss:" else -int(words[1])
    rollup = dict(line.split()[:2] for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return int(rollup["Pss_Anon:"]) + int(rollup["Pss_Shmem:"]), files


def _role(pid: int) -> str:
    command = _command(pid)
    named = next((name for name in ("supervisord", "valkey", "gunicorn") if name in command), "other")
    if named == "gunicorn" and "gunicorn" in _command(_parent(pid)):
        return "web process"
    return ROLES.get(_name(pid), "worker pool" if "-m worker" in command else named)


def _command(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return ""
    return " ".join(words[1:4]) if Path(words[0]).name.startswith("python") else words[0]


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
