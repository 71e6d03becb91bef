"""A large image uses all idle cores: batches of its tiles run in several threads of one predictor."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from inference.prediction import Batch
from predictors.priority import become_idle
from predictors.shared_units import SharedUnits

LOOK_S = 0.25  # between two looks at a batch that has not ended
LEAST_SHARE = 0.1  # of a core: an idle thread that gets less starves


class TileThreads:
    """One batch of a run may always be computed. Each further one at a time needs a core that is free by a file that
    all predictors share: an image alone gets all cores, and several images at once hardly more threads than that.

    Batches run in threads of policy SCHED_IDLE, whose cores a quick thread gets at once. Beside clients who take all
    they can these threads starve, and none may leave that policy without a privilege. So a batch that starves is run
    again in another thread, at the process's own low priority, as are all others until the starving one has ended.
    """

    def __init__(self, cores: SharedUnits) -> None:
        self._cores = cores
        self._held: list[int] = []
        # A pool makes its threads when they are needed, after the fork; they inherit the priority of their maker.
        self._idle = ThreadPoolExecutor(cores.count, "idle-tiles", become_idle)
        self._others = ThreadPoolExecutor(cores.count, "tiles")
        self._starving: list[Future[Batch]] = []

    def run_all(self, calls: Iterable[Callable[[], Batch]]) -> Iterator[Batch]:
        """What the calls return, in order; none is begun before it can be computed at once. A call may run twice."""
        running: deque[_Begun] = deque()
        try:
            for call in calls:
                ended = self._result(running.popleft()) if len(running) >= self._at_a_time() else None
                running.append(self._begin(call))
                if ended is not None:
                    yield ended
            while running:
                yield self._result(running.popleft())
        finally:
            for begun in running:
                begun.future.cancel()
            wait([begun.future for begun in running])
            self._cores.release(self._held)
            self._held = []

    def _begin(self, call: Callable[[], Batch]) -> "_Begun":
        begun = _Begun(call)
        self._starving = [future for future in self._starving if not future.done()]
        begun.is_idle = not self._starving
        begun.future = (self._idle if begun.is_idle else self._others).submit(begun.run)
        return begun

    def _result(self, begun: "_Begun") -> Batch:
        used_s = 0.0
        while begun.is_idle and not wait([begun.future], LOOK_S).done:
            before_s, used_s = used_s, begun.core_s()
            if used_s - before_s < LEAST_SHARE * LOOK_S:
                self._starving.append(begun.future)
                return self._others.submit(begun.call).result()
        return begun.future.result()

    def _at_a_time(self) -> int:
        """One more than before, as long as a core is free."""
        if len(self._held) < self._cores.count:
            self._held += self._cores.take(1, range(self._cores.count))
        return max(1, len(self._held))


@dataclass
class _Begun:
    """A batch under way; `thread` is the number of the thread that runs it, None before it does."""

    call: Callable[[], Batch]
    future: Future[Batch] = field(default_factory=Future)
    is_idle: bool = True
    thread: int | None = None

    def run(self) -> Batch:
        self.thread = threading.get_ident()
        return self.call()

    def core_s(self) -> float:
        """Seconds of a core that its thread has used."""
        return 0.0 if self.thread is None else time.clock_gettime(time.pthread_getcpuclockid(self.thread))
