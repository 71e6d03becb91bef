"""`python -m bench.soak --minutes 30`: mixed jobs with short times, and what is left of them.

Jobs succeed, fail, are canceled, miss their deadline, are drawn, have large results, are joined, are told of by
webhooks, bear keys of idempotency, or are never asked for again. What the queue server, the store and the processes
hold is printed at intervals. A short load comes first, whose end is what the end of the long one is compared with.
Tombstones stay for a day, and are counted apart.
"""

import argparse
import contextlib
import re
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import TensorProto, helper
from redis import Redis

from bench import machine
from bench.chaos.sink import Sink, listening
from bench.many_models import IR_VERSION, OPSET
from bench.servers import Service, running_punnet
from bench.soak.clients import LARGE, QUICK, Clients
from ops import processes
from settings import ROOT

LARGE_SIDE = 160  # pixels of the model; its result has three numbers for each
TTL_S = 20
WARM_UP_S, SETTLE_S = 60.0, 90.0
FOLDERS = ("spool", "ended", "results")
KNOWN = "punnet:known:*"
PASSING = (b"punnet:known:", b"punnet:swept:")  # tombstones, and what names a pool that tidies up, for seconds
LEAST_GROWTH_BYTES = 1_000_000  # what buffers and the allocator make of nothing
GROWTH = 1.15  # of a process's memory


@dataclass(frozen=True)
class Sample:
    """What is held at one moment. `keys` and `memory_bytes` are without tombstones."""

    at_s: float
    keys: int
    memory_bytes: int
    tombstone_bytes: int
    files: int
    file_bytes: int
    pss_mb: dict[str, float]


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="punnet-soak-") as folder:
        _make_models(Path(folder))
        with (running_punnet(models_dir=folder, result_ttl_s=TTL_S, quick_ms=1, log_level="warning",
                             webhook_private=1) as service, listening() as sink):
            sys.exit(_soak(service, sink, arguments.minutes * 60, arguments.seed))


def _soak(service: Service, sink: Sink, seconds: float, seed: int) -> int:
    began = time.monotonic()
    look = Look(service, began)
    _load(service, sink, seed, WARM_UP_S, lambda: None)
    before = look.settled(None)
    print(HEAD)
    look.show("before", before)
    clients = _load(service, sink, seed + 1, seconds, lambda: look.show("during", look.sample()))
    look.show("at the end", look.sample())
    after = look.settled(before)
    look.show("after", after)
    return _report(clients, look, before, after)


def _load(service: Service, sink: Sink, seed: int, seconds: float, show: Callable[[], None]) -> Clients:
    clients = Clients(service.address, seed, sink.url)
    thread = threading.Thread(target=clients.run)
    thread.start()
    for _ in range(10):
        time.sleep(seconds / 10)
        show()
    clients.ended.set()
    thread.join()
    return clients


class Look:
    """At the queue server, the store and the processes of a service."""

    def __init__(self, service: Service, began: float) -> None:
        self._service, self._began = service, began
        self._client = Redis(unix_socket_path=str(service.mark / "valkey.sock"))
        self._first: set[str] = set()

    def settled(self, before: Sample | None) -> Sample:
        """What is held once the time of all jobs is over; what is left of them has SETTLE_S to go."""
        time.sleep(TTL_S + 5)
        deadline = time.monotonic() + SETTLE_S
        while time.monotonic() < deadline and (self._files()[0] or self.left() if before else self._files()[0]):
            time.sleep(1)
        if before is None:
            time.sleep(5)
            self._first = self._names()
        return self.sample()

    def left(self) -> list[str]:
        """Keys that were not there before, with their ids left out."""
        return sorted(re.sub(r"[0-9a-f]{32}", "<id>", name) for name in self._names() - self._first)

    def sample(self) -> Sample:
        known = list(self._client.scan_iter(KNOWN, count=1000))
        with self._client.pipeline(transaction=False) as pipeline:
            for name in known:
                pipeline.memory_usage(name, samples=0)
            tombstones = sum(size or 0 for size in pipeline.execute())
        memory = int(self._client.info("memory")["used_memory"])
        files, file_bytes = self._files()
        return Sample(time.monotonic() - self._began, self._client.dbsize() - len(known), memory - tombstones,
                      tombstones, files, file_bytes, self._pss_mb())

    def jobs(self) -> int:
        """How many tombstones there are."""
        return sum(self._client.hlen(name) for name in self._client.scan_iter(KNOWN, count=1000))

    def show(self, name: str, sample: Sample) -> None:
        memory = " ".join(f"{role} {mb:.0f}" for role, mb in sample.pss_mb.items())
        print(f"{name:>10} {sample.at_s:6.0f} s {sample.keys:6} {sample.memory_bytes / 1e6:8.2f} "
              f"{sample.tombstone_bytes / 1e6:8.3f} {sample.files:5} {sample.file_bytes / 1e6:8.1f}   {memory}",
              flush=True)

    def _names(self) -> set[str]:
        return {name.decode() for name in self._client.scan_iter(count=1000) if not name.startswith(PASSING)}

    def _files(self) -> tuple[int, int]:
        sizes = []
        for folder in FOLDERS:
            for file in (self._service.mark / folder).iterdir():
                with contextlib.suppress(FileNotFoundError):
                    sizes.append(file.stat().st_size)
        return len(sizes), sum(sizes)

    def _pss_mb(self) -> dict[str, float]:
        """Of the processes of each kind together."""
        found: dict[str, list[int]] = {}
        for pid in processes.marked(self._service.mark):
            found.setdefault(_kind(pid), []).append(pid)
        return {kind: machine.pss_mb(pids) for kind, pids in sorted(found.items())}


HEAD = f"{'':>10} {'time':>8} {'keys':>6} {'memory':>8} {'tombst.':>8} {'files':>5} {'MB':>8}   of processes, in MB"


def _kind(pid: int) -> str:
    with contextlib.suppress(OSError):
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        name = Path(f"/proc/{pid}/comm").read_text().strip().removeprefix("punnet-")
        return next((known for known in ("valkey", "gunicorn", "supervisord") if known in command), name)
    return "ended"


def _report(clients: Clients, look: Look, before: Sample, after: Sample) -> int:
    """What was answered and what is left, as lines; 1 where something is left that should not be."""
    print("\n" + ", ".join(f"{name}: {count}" for name, count in sorted(clients.answers.items())))
    bytes_each = after.tombstone_bytes / max(1, look.jobs())
    print(f"{clients.asked} jobs asked for; {look.jobs()} tombstones of {bytes_each:.0f} bytes")
    troubles = list(_troubles(look, before, after))
    print("\n".join(troubles) or "All is as it was before.")
    return 1 if troubles else 0


def _troubles(look: Look, before: Sample, after: Sample) -> Iterator[str]:
    if left := look.left():
        yield f"keys are left: {Counter(left)}"
    if after.files:
        yield f"{after.files} files are left in the store"
    if (grown := after.memory_bytes - before.memory_bytes) > LEAST_GROWTH_BYTES:
        yield f"the queue server holds {grown / 1e6:.2f} MB more"
    for kind, mb in after.pss_mb.items():
        if mb > before.pss_mb.get(kind, mb) * GROWTH + 5:
            yield f"{kind} holds {mb:.0f} MB, before {before.pss_mb[kind]:.0f}"


def _make_models(folder: Path) -> None:
    (folder / QUICK).symlink_to(ROOT / "models" / QUICK)
    (folder / LARGE).mkdir()
    side = LARGE_SIDE
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["image"], ["numbers"])], LARGE,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, side, side])],
        [helper.make_tensor_value_info("numbers", TensorProto.FLOAT, [1, 3 * side * side])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.save(model, folder / LARGE / "model.onnx")
    (folder / LARGE / "model.toml").write_text('task = "tensor"\n[input]\nmean = 0.5\nstd = 0.25\n')


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
