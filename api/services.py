"""What the views of one process work with, and when each part comes to life."""

import itertools
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from flask import current_app

from api.access_log import AccessLog
from api.admission import Limits
from api.bodies import InFlight
from api.errors import Draining, Starting
from api.lane_processes import LaneProcesses
from api.lanes import Lanes
from api.promotion import Promotions
from api.uploads import Uploads
from inference.engine import Engine
from jobs.costs import SharedCosts
from jobs.events import JobEvents
from jobs.queue import JobQueue
from settings import Settings

DRAIN_POLL_S = 0.1
MODELS_POLL_S = 1.0  # a file counts as copied when two looks at it show the same
COSTS_S = 1.0  # between two looks at what predictions took
log = logging.getLogger(__name__)


class Drain:
    """Whether the service is being stopped, by a file that `stop.sh` makes: when gunicorn gets its signal, no hook
    of ours runs before its port is closed. Tells back, by a file too, that nothing is left to answer."""

    def __init__(self, settings: Settings, *let_go: Callable[[], None]) -> None:
        """`let_go` are called when it begins: they end what is waited for."""
        self._file = settings.draining_file
        self._drained_dir = settings.drained_dir
        self._let_go = let_go
        self.active = False
        self.open_requests = 0

    def count(self, more: int) -> None:
        """Of requests, and of what goes on without one."""
        self.open_requests += more

    def start(self) -> None:
        threading.Thread(target=self._watch, name="drain", daemon=True).start()

    def _watch(self) -> None:
        while not self._file.exists():
            time.sleep(DRAIN_POLL_S)
        self.active = True
        for let_go in self._let_go:
            let_go()
        while self.open_requests:
            time.sleep(DRAIN_POLL_S)
        self._drained_dir.mkdir(exist_ok=True)
        (self._drained_dir / str(os.getpid())).touch()


@dataclass(frozen=True)
class Services:
    """The parts of one process, put together in `create_app` and started after the fork."""

    settings: Settings
    limits: Limits
    engine: Engine
    queue: JobQueue
    events: JobEvents
    lanes: Lanes
    lane_processes: LaneProcesses
    in_flight: InFlight
    uploads: Uploads
    drain: Drain
    promotions: Promotions
    costs: SharedCosts
    access_log: AccessLog

    def start(self) -> None:
        """Threads, greenlets and connections: after the fork, never before."""
        self.lanes.start()
        self.events.start()
        self.drain.start()
        self.engine.begin_again()
        threading.Thread(target=self._follow_models, name="models", daemon=True).start()
        threading.Thread(target=self._learn_costs, name="costs", daemon=True).start()

    def _learn_costs(self) -> None:
        while True:
            time.sleep(COSTS_S)
            self.engine.learn(self.costs.exchange)

    def _follow_models(self) -> None:
        """Load what was not loaded before the fork and take over what changed since (meanwhile /readyz says that it
        is starting), then follow."""
        first: list[Callable[[], None]] = [self.engine.load] if self.engine.loading else []
        for step in itertools.chain(first, itertools.repeat(self.engine.follow)):
            try:
                self.lanes.models.run(step)
                self.engine.log_news()
            except Exception:  # a full disk, say: the models that are served go on being served
                log.exception("the models folder could not be followed")
            time.sleep(MODELS_POLL_S)

    def check_open(self) -> None:
        """Raises Starting or Draining where no new work is taken."""
        if self.drain.active:
            raise Draining("the service is being stopped; try again in a few seconds")
        if self.engine.loading:
            raise Starting("models are still being loaded; try again in a few seconds")


def services() -> Services:
    """The services of the app that answers this request."""
    return current_app.extensions["punnet"]
