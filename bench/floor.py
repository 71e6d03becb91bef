"""The floor: the engine's prediction in a bare loop, in processes side by side."""

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier

from inference.engine import Engine
from settings import available_cores, load_settings

QUICK_MODEL = "strawberry"


@dataclass(frozen=True)
class Work:
    """What is predicted: pictures, the model, and its parameters as a caller gives them."""

    pictures: Sequence[bytes] = field(repr=False)
    model: str = QUICK_MODEL
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Loops:
    """Of all processes together; CPU seconds (user and system) and wall seconds are those of one picture."""

    per_s: float
    cpu_s: float
    wall_s: float


class Floor:
    """Processes with the models loaded, which wait between the phases."""

    def __init__(self, processes: int) -> None:
        context = get_context("spawn")
        self.processes = processes
        self._pool = context.Pool(processes, _load, (context.Barrier(processes),))

    def run(self, work: Work, seconds: float) -> Loops:
        """Predict for `seconds` in all processes at once."""
        loops = self._pool.starmap(_loop, [(work, seconds)] * self.processes, chunksize=1)
        count = sum(loop.count for loop in loops)
        return Loops(sum(loop.count / loop.elapsed_s for loop in loops), sum(loop.cpu_s for loop in loops) / count,
                     sum(loop.elapsed_s for loop in loops) / count)

    def close(self) -> None:
        self._pool.terminate()


@contextmanager
def floor(processes: int | None = None) -> Iterator[Floor]:
    """In one process per core, or as many as are wanted."""
    made = Floor(processes or available_cores())
    try:
        yield made
    finally:
        made.close()


@dataclass(frozen=True)
class _Loop:
    count: int
    elapsed_s: float
    cpu_s: float


_engine: Engine
_barrier: Barrier


def _load(barrier: Barrier) -> None:
    """In each process, once."""
    global _engine, _barrier
    settings = load_settings()
    _engine, _barrier = Engine(settings.models_dir, settings.max_pixels), barrier
    _engine.load()


def _loop(work: Work, seconds: float) -> _Loop:
    """In one process; the barrier gives each process one loop."""
    parameters = _engine.parameters(work.model, work.parameters)
    _barrier.wait()
    start_s, start_cpu_s, count = time.perf_counter(), time.process_time(), 0
    for picture in itertools.cycle(work.pictures):
        _engine.predict(work.model, _engine.open(picture), parameters)
        count += 1
        if time.perf_counter() - start_s >= seconds:
            break
    return _Loop(count, time.perf_counter() - start_s, time.process_time() - start_cpu_s)
