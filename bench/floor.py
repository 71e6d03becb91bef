"""The floor: the engine's prediction in a bare loop, in one process per core."""

import itertools
import time
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier

from bench.common import MODEL
from inference.engine import Engine
from settings import Settings, available_cores


class Floor:
    """Processes with the model loaded, which wait between the phases."""

    def __init__(self, settings: Settings, pictures: list[bytes]) -> None:
        context = get_context("spawn")
        self.processes = available_cores()
        self._pool = context.Pool(self.processes, _load, (settings, pictures, context.Barrier(self.processes)))

    def run(self, seconds: float) -> tuple[float, float]:
        """Predict for `seconds` in all processes at once.

        Returns:
            pictures per second of all together, and CPU seconds (user and system) per picture.
        """
        loops = self._pool.map(_loop, [seconds] * self.processes, chunksize=1)
        pictures = sum(count for count, _, _ in loops)
        return sum(count / elapsed_s for count, elapsed_s, _ in loops), sum(cpu_s for *_, cpu_s in loops) / pictures

    def close(self) -> None:
        self._pool.terminate()


_engine: Engine
_pictures: list[bytes]
_barrier: Barrier


def _load(settings: Settings, pictures: list[bytes], barrier: Barrier) -> None:
    """In each process, once."""
    global _engine, _pictures, _barrier
    _engine, _pictures, _barrier = Engine(settings.models_dir, settings.max_pixels), pictures, barrier
    _engine.load()


def _loop(seconds: float) -> tuple[int, float, float]:
    """Pictures, elapsed seconds and CPU seconds of one process; the barrier gives each process one loop."""
    parameters = _engine.parameters(MODEL, {})
    _barrier.wait()
    start, start_cpu, count = time.perf_counter(), time.process_time(), 0
    for picture in itertools.cycle(_pictures):
        _engine.predict(MODEL, _engine.open(picture), parameters)
        count += 1
        if time.perf_counter() - start >= seconds:
            break
    return count, time.perf_counter() - start, time.process_time() - start_cpu
