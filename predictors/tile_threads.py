"""A large image uses all idle cores: batches of its tiles run in several threads of one predictor."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait

from inference.prediction import Batch
from predictors.shared_units import SharedUnits


class TileThreads:
    """One batch of a run may always be computed. Each further one at a time needs a core that is free by a file that
    all predictors share: an image alone gets all cores, and several images at once hardly more threads than that."""

    def __init__(self, cores: SharedUnits) -> None:
        self._cores = cores
        self._held: list[int] = []
        self._threads: ThreadPoolExecutor | None = None

    def run_all(self, calls: Iterable[Callable[[], Batch]]) -> Iterator[Batch]:
        """What the calls return, in order; none is begun before it can be computed at once."""
        running: deque[Future[Batch]] = deque()
        try:
            for call in calls:
                ended = running.popleft().result() if len(running) >= self._at_a_time() else None
                running.append(self._pool().submit(call))
                if ended is not None:
                    yield ended
            while running:
                yield running.popleft().result()
        finally:
            for future in running:
                future.cancel()
            wait(running)
            self._cores.release(self._held)
            self._held = []

    def _at_a_time(self) -> int:
        """One more than before, as long as a core is free."""
        if len(self._held) < self._cores.count:
            self._held += self._cores.take(1, range(self._cores.count))
        return max(1, len(self._held))

    def _pool(self) -> ThreadPoolExecutor:
        """Made after the fork, when it is first needed. Threads inherit the priority of the one that makes them."""
        self._threads = self._threads or ThreadPoolExecutor(self._cores.count, "tiles")
        return self._threads
