"""What the views of one web process work with, and when each part comes to life."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from flask import current_app

from api.access_log import AccessLog
from api.auth import Callers
from api.body import InFlight
from api.browsers import Browsers
from api.costs import Costs
from api.counting import Counting, How
from api.drain import Drain
from api.form import Forms
from api.intake import Intake
from api.poison import PoisonExchange
from api.problems import Starting
from api.promotion import Promotions
from api.routing import Limits
from api.waiting import Waiting
from jobs.events import JobEvents
from jobs.following import Following
from jobs.idempotency import Claims
from jobs.queue import JobQueue
from jobs.totals import QueueTotals
from metrics.numbers import Numbers
from predictors.catalogue import Catalogue
from predictors.client import Predictors
from settings import Settings
from shares import Shares


@dataclass(frozen=True)
class Services:
    """The parts of one process, put together in `create_app` and started after the fork."""

    settings: Settings
    limits: Limits
    catalogue: Catalogue
    predictors: Predictors
    poison: PoisonExchange
    costs: Costs
    queue: JobQueue
    claims: Claims
    events: JobEvents
    following: Following
    intake: Intake
    in_flight: InFlight
    forms: Forms
    waiting: Waiting
    drain: Drain
    promotions: Promotions
    access_log: AccessLog
    callers: Callers
    browsers: Browsers
    connections: Shares
    held: Shares  # connections that wait for a job to end
    numbers: Numbers
    counting: Counting
    totals: QueueTotals

    def start(self, is_staying: Callable[[], bool] = lambda: True) -> None:
        """Start threads, greenlets and connections: after the fork, never before. `is_staying` says until when gunicorn
        does not replace this process."""
        self.numbers.start("web process")
        self.intake.start()
        self.waiting.start()
        self.events.start()
        self.following.start()
        self.drain.start(is_staying)
        self.costs.start()
        self.poison.start()
        self.claims.start()
        self.promotions.start()

    def count_open(self, more: int) -> None:
        """Count open requests: those that are answered, those that wait, and streams."""
        self.drain.count(more)
        self.counting.opened(more)

    @contextmanager
    def place(self, share: str, how: How) -> Iterator[bool]:
        """A caller's place among those who wait for jobs, for as long as the block lasts; False where there is none."""
        with self.held.place(share) as has_place:
            self.counting.waiting(how, has_place)
            try:
                yield has_place
            finally:
                self.counting.waiting(how, -has_place)

    def check_started(self) -> None:
        """Raises Starting before anybody knows which models there are."""
        if not self.catalogue.exists:
            raise Starting("the service is starting; try again in a few seconds")


def services() -> Services:
    """The services of the app that answers this request."""
    return current_app.extensions["punnet"]
