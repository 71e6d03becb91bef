"""The floor: the prediction in a bare loop, in processes side by side."""

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier

from bench.peers.models import QUICK, with_inference
from settings import available_cores


@dataclass(frozen=True)
class Work:
    """What is predicted: images, the model, and its parameters as a caller gives them."""

    images: Sequence[bytes] = field(repr=False)
    model: str = QUICK
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Loops:
    """The figures of all processes together. `cpu_ms` is user and system time of one image."""

    per_s: float
    cpu_ms: float


class Floor:
    """A process per core, all of which wait between the phases."""

    def __init__(self) -> None:
        context, self._processes = get_context("spawn"), available_cores()
        self._pool = context.Pool(self._processes, _prepare, (context.Barrier(self._processes),))

    def __enter__(self) -> "Floor":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.terminate()

    def run(self, work: Work, seconds: float) -> Loops:
        """Predict for `seconds` in all processes at once."""
        loops = self._pool.starmap(_loop, [(work, seconds)] * self._processes, chunksize=1)
        return Loops(sum(count / elapsed_s for count, elapsed_s, _ in loops),
                     sum(cpu_s for *_, cpu_s in loops) / sum(count for count, *_ in loops) * 1000)


_barrier: Barrier


def _prepare(barrier: Barrier) -> None:
    """Run once in each process."""
    global _barrier
    _barrier = barrier


def _loop(work: Work, seconds: float) -> tuple[int, float, float]:
    """Run one process's loop, and count images, seconds and CPU seconds. The barrier gives each process one loop."""
    predict = with_inference(work.model, work.parameters)
    _barrier.wait()
    start_s, start_cpu_s = time.perf_counter(), time.process_time()
    turns, count = itertools.cycle(work.images), 0
    while time.perf_counter() - start_s < seconds:
        predict(next(turns))
        count += 1
    return count, time.perf_counter() - start_s, time.process_time() - start_cpu_s
