"""A burst of large pictures at once, with gunicorn's processes limited in memory: nothing dies, nothing is lost.

Every post ends with 200, with 202 and a job that succeeds, or with 429 or 503 and is tried again. Queue server and
workers stay outside the limit, which is a control group's (version 1 or 2) where one can be made, and else each
process's own (RLIMIT_DATA).
"""

import argparse
import base64
import collections
import http.client
import io
import itertools
import json
import os
import random
import resource
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from bench.page import Table, plain
from bench.servers import Server, running_server
from inference.measuring import synthetic_picture
from ops import processes
from ops.supervisor import Supervisor
from settings import MEGA

CLASSIFIER, DETECTOR = "strawberry", "strawberry-fruit"
SIDES = (8000, 6000)
SAMPLE_S = 0.05
QUALITY = 94
TIMEOUT_S = 120
HOLD_S = 30  # of one look at a job
TRY_AGAIN = (429, 503)
LONGEST_PAUSE_S = 20.0
BOUNDARY = "punnet-burst-boundary"
CGROUPS = Path("/sys/fs/cgroup")
LIMIT_FILES = ("memory.limit_in_bytes", "memory.max")
PEAK_FILES = ("memory.max_usage_in_bytes", "memory.peak")
KILL_FILES = ("memory.oom_control", "memory.events")


@dataclass(frozen=True)
class Post:
    """One picture to be sent."""

    kind: str
    path: str
    content_type: str
    body: bytes


@dataclass
class Tally:
    """What the clients saw."""

    statuses: collections.Counter[str] = field(default_factory=collections.Counter)
    lost: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


@dataclass
class Memory:
    """The limited processes' memory, looked at 20 times a second: of their own and shared, without files."""

    pids: Sequence[int]
    peak_bytes: int = 0
    before_bytes: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        while not self.ended.wait(SAMPLE_S):
            self.peak_bytes = max(self.peak_bytes, proportional_bytes(self.pids))


def proportional_bytes(pids: Sequence[int]) -> int:
    """The sum of what the processes hold, pages that they share counted once."""
    return sum(_pss(pid) for pid in pids)


def _pss(pid: int) -> int:
    with suppress(OSError):  # ended
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return 0


@contextmanager
def limited(pids: Sequence[int], limit_bytes: int) -> Iterator[Path | None]:
    """Hold the processes, and those they start, to the limit. What they hold already was charged elsewhere."""
    group = _make_group()
    room = limit_bytes - proportional_bytes(pids)
    if group is None:
        for pid in pids:
            resource.prlimit(pid, resource.RLIMIT_DATA, (limit_bytes // len(pids),) * 2)
        yield None
        return
    home = _group_of(pids[0], group)
    try:
        _first_file(group, LIMIT_FILES).write_text(str(room))
        _move(pids, group)
        yield group
    finally:
        _move(_members(group), home)
        group.rmdir()


def _make_group() -> Path | None:
    for parent in (CGROUPS / "memory", CGROUPS):
        group = parent / f"punnet-burst-{os.getpid()}"
        with suppress(OSError):
            group.mkdir()
            if any((group / name).exists() for name in LIMIT_FILES):
                return group
            group.rmdir()
    return None


def _group_of(pid: int, beside: Path) -> Path:
    """Where a process belongs now, in the hierarchy of another group."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == ("memory" if beside.parent.name == "memory" else ""):
            return beside.parent / path.lstrip("/")
    return beside.parent


def _move(pids: Sequence[int], group: Path) -> None:
    for pid in pids:
        with suppress(OSError):  # ended meanwhile
            (group / "cgroup.procs").write_text(str(pid))


def _members(group: Path) -> list[int]:
    return [int(pid) for pid in (group / "cgroup.procs").read_text().split()]


def _first_file(group: Path, names: Sequence[str]) -> Path:
    return next(group / name for name in names if (group / name).exists())


def killed(group: Path) -> int:
    """How many processes the kernel ended in the group for want of memory."""
    text = _first_file(group, KILL_FILES).read_text()
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("oom_kill ")), 0)


def posts(count: int) -> list[Post]:
    """Of a hundred: sixty JPEGs as multipart, ten raw and ten as base64 for the classifier, seventeen PNGs, three JPEGs
    for the detector, which cuts each into 192 tiles."""
    jpeg, png = pictures()
    hundred = [multipart("jpeg", CLASSIFIER, jpeg)] * 60 + [raw(jpeg)] * 10 + [encoded(jpeg)] * 10 + [
        multipart("png", CLASSIFIER, png)] * 17 + [multipart("tiled", DETECTOR, jpeg)] * 3
    random.Random(0).shuffle(hundred)
    return list(itertools.islice(itertools.cycle(hundred), count))


def pictures() -> tuple[bytes, bytes]:
    """48 megapixels: a JPEG of about 12 MB, and a PNG."""
    tile = synthetic_picture((SIDES[0] // 4, SIDES[1] // 4))
    whole = Image.new("RGB", SIDES)
    for x, y in itertools.product(range(0, SIDES[0], tile.width), range(0, SIDES[1], tile.height)):
        whole.paste(tile, (x, y))
    coarse = tile.resize((SIDES[0] // 16, SIDES[1] // 16)).resize(SIDES, Image.Resampling.NEAREST)
    return file_of(whole, "JPEG", quality=QUALITY), file_of(coarse, "PNG", compress_level=1)


def file_of(picture: Image.Image, file_format: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, file_format, **options)
    return buffer.getvalue()


def multipart(kind: str, model: str, picture: bytes) -> Post:
    head = (f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="model_type"\r\n\r\n{model}\r\n--{BOUNDARY}\r\n'
            'Content-Disposition: form-data; name="img_file"; filename="photo"\r\n\r\n')
    body = head.encode() + picture + f"\r\n--{BOUNDARY}--\r\n".encode()
    return Post(kind, "/predict", f"multipart/form-data; boundary={BOUNDARY}", body)


def raw(picture: bytes) -> Post:
    return Post("raw", f"/predict?model_type={CLASSIFIER}", "image/jpeg", picture)


def encoded(picture: bytes) -> Post:
    text = base64.b64encode(picture).decode()
    body = json.dumps({"model_type": CLASSIFIER, "image": text}).encode()
    return Post("base64", "/predict", "application/json", body)


def client(address: tuple[str, int], post: Post, tally: Tally) -> None:
    """Send one picture until it is answered, and wait for its job."""
    began = time.perf_counter()
    try:
        for pause_s in pauses():
            status, answer, wait_s = exchange(address, "POST", post)
            tally.statuses[f"{post.kind} {status}"] += 1
            if status not in TRY_AGAIN:
                break
            time.sleep(max(wait_s, pause_s))
        if status == 202:
            status = wait_for_job(address, answer["id"])
        if status != 200:
            tally.lost.append(f"{post.kind}: {status} {answer}")
    except (OSError, http.client.HTTPException, ValueError) as error:
        tally.lost.append(f"{post.kind}: {error!r}")
    tally.seconds.append(time.perf_counter() - began)


def pauses() -> Iterator[float]:
    """Twice as long each time, and not all clients at once."""
    for number in itertools.count():
        yield min(LONGEST_PAUSE_S, 2.0**number) * random.uniform(0.5, 1)


def exchange(address: tuple[str, int], method: str, post: Post) -> tuple[int, dict, float]:
    """Status, answer, and after how many seconds to try again."""
    connection = http.client.HTTPConnection(*address, timeout=TIMEOUT_S)
    try:
        headers = {"Content-Type": post.content_type} if post.body else {}
        connection.request(method, post.path, post.body or None, headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read()), float(response.headers.get("Retry-After", 0))
    finally:
        connection.close()


def wait_for_job(address: tuple[str, int], job_id: str) -> int:
    """The status of its result."""
    look = Post("job", f"/jobs/{job_id}?wait={HOLD_S}", "", b"")
    while True:
        status, job, wait_s = exchange(address, "GET", look)
        if status in TRY_AGAIN:
            time.sleep(wait_s)
        elif status != 200 or job["state"] not in ("queued", "processing"):
            return job["status"]


def burst(server: Server, sent: Sequence[Post]) -> Tally:
    tally = Tally()
    threads = [threading.Thread(target=client, args=(server.address, post, tally)) for post in sent]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return tally


def measure(server: Server, sent: Sequence[Post], limit_bytes: int) -> bool:
    """Whether all was answered and nobody died."""
    arbiter = Supervisor(server.settings).pids()["gunicorn"]
    tree = [arbiter, *processes.children(arbiter)]
    memory = Memory(tree, before_bytes=proportional_bytes(tree))
    watcher = threading.Thread(target=memory.watch)
    with limited(tree, limit_bytes) as group:
        watcher.start()
        began = time.perf_counter()
        tally = burst(server, sent)
        elapsed_s = time.perf_counter() - began
        memory.ended.set()
        watcher.join()
        deaths = len(set(tree) - {arbiter, *processes.children(arbiter)}) + (killed(group) if group else 0)
        report(tally, memory, elapsed_s, limit_bytes, group)
    print(f"processes that died: {deaths}; answers lost: {len(tally.lost)} {tally.lost[:3]}")
    return not deaths and not tally.lost


def report(tally: Tally, memory: Memory, elapsed_s: float, limit_bytes: int, group: Path | None) -> None:
    print(plain(Table(("kind and status", "answers"), tuple(sorted(tally.statuses.items())))))
    by_kernel = int(_first_file(group, PEAK_FILES).read_text()) / MEGA if group else 0
    print(f"limit {limit_bytes / MEGA:.0f} MB {'of a control group' if group else 'by RLIMIT_DATA, shared out'}; "
          f"before {memory.before_bytes / MEGA:.0f}, at the peak {memory.peak_bytes / MEGA:.0f}, "
          f"afterwards {proportional_bytes(memory.pids) / MEGA:.0f} MB; "
          f"the kernel counted {by_kernel:.0f} MB beyond the first, files included")
    middle_s, longest_s = statistics.median(tally.seconds), max(tally.seconds)
    print(f"{len(tally.seconds)} pictures in {elapsed_s:.1f} s; one took {middle_s:.1f} s in the middle, "
          f"{longest_s:.1f} at most")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--posts", type=int, default=200)
    parser.add_argument("--limit-mb", type=int, default=1074, help="1 GiB")
    arguments = parser.parse_args()
    sent = posts(arguments.posts)
    print(f"{len(sent)} posts of {SIDES[0]}x{SIDES[1]} pixels, {sum(len(post.body) for post in sent) / MEGA:.0f} MB")
    with running_server() as server:
        held = measure(server, sent, arguments.limit_mb * MEGA)
    raise SystemExit(0 if held else 1)


if __name__ == "__main__":
    main()
