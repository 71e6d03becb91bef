"""Takes what is due, tells it, writes down what came of it. Receivers are told side by side: none waits for another."""

import asyncio
import logging
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from redis.exceptions import RedisError
from rq import Queue

from deliveries.documents import document
from deliveries.receivers import Receivers
from deliveries.sender import Sender, Unreachable
from jobs.backlog import Backlog
from jobs.errors import JobNotFound, QueueUnavailable
from jobs.outbox import Delivery, Outbox, Try
from jobs.records import Records
from jobs.results import Results
from jobs.store import make_store
from settings import Settings

T = TypeVar("T")
LOOK_S = 0.5  # between two looks for what is due
AT_ONCE = 1024  # claims at a time; those in line for a receiver included
BUSY_S = 2.0  # until a receiver that has much to hear is told more
STOP_S = 2.0  # for what is under way when the service is stopped; the next start tells the rest again
QUEUE_THREADS, NAME_THREADS = 4, 64  # who ask the queue server, and who ask for addresses: the latter may take long
log = logging.getLogger(__name__)


class Deliverer:
    """Delivers until it is told to stop. `document` makes what is posted."""

    def __init__(self, outbox: Outbox, document: Callable[[Delivery], bytes], sender: Sender) -> None:
        self._outbox, self._document, self._sender = outbox, document, sender
        self._queue_threads = ThreadPoolExecutor(QUEUE_THREADS)
        self._receivers = Receivers()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Until TERM."""
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(NAME_THREADS))
        loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        while not self._stop.is_set():
            await self._look()
            await _within(LOOK_S, self._stop.wait())
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_S)

    async def _look(self) -> None:
        try:
            claimed = await self._asked(self._outbox.claim, AT_ONCE - len(self._tasks))
        except RedisError as error:
            log.debug("nothing is delivered just now: %s", error)
            return
        for job_id in claimed:
            task = asyncio.create_task(self._deliver(job_id))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _deliver(self, job_id: str) -> None:
        """What cannot be written down is told again, when its claim is over."""
        try:
            await self._tell(job_id)
        except (RedisError, QueueUnavailable) as error:
            log.warning("job %s: its webhook waits for the queue server: %s", job_id, error)
        except Exception:
            log.exception("job %s: unexpected error of its webhook", job_id)

    async def _tell(self, job_id: str) -> None:
        delivery = await self._asked(self._outbox.delivery, job_id)
        if delivery is None:
            await self._asked(self._outbox.let_go, job_id)
        else:
            await self._tell_in_turn(delivery)

    async def _tell_in_turn(self, delivery: Delivery) -> None:
        async with self._receivers.turn(delivery.receiver) as is_mine:
            made = await self._try(delivery) if is_mine else None
        if made is None:
            await self._asked(self._outbox.defer, delivery.job_id, BUSY_S)
        else:
            await self._asked(self._outbox.settle, delivery, made)

    async def _try(self, delivery: Delivery) -> Try:
        made = partial(Try, datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                       delivery.event, delivery.number)
        try:
            status = await self._sender.post(delivery, await self._asked(self._document, delivery))
        except (Unreachable, JobNotFound) as error:
            log.warning("job %s: %s did not hear of %s: %s", delivery.job_id, delivery.receiver, delivery.event, error)
            return made(error=str(error))
        log.info("job %s: %s heard of %s and said %d", delivery.job_id, delivery.receiver, delivery.event, status)
        return made(status)

    async def _asked(self, call: Callable[..., T], *arguments: Any) -> T:
        """Ask the queue server, in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._queue_threads, call, *arguments)


def deliver(settings: Settings, queue: Queue, outbox: Outbox) -> None:
    """Until TERM."""
    records = Records(queue, Backlog(queue, settings), Results(make_store(queue.connection, settings)).get)
    sender = Sender(settings.webhook_secret, settings.webhook_private)
    asyncio.run(Deliverer(outbox, partial(document, records, settings.url_prefix), sender).run())


async def _within(seconds: float, waited_for: Any) -> None:
    try:
        await asyncio.wait_for(waited_for, seconds)
    except TimeoutError:
        return
