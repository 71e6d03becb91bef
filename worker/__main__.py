"""`python -m worker`: fork the workers and watch them. They hold no model: predictors compute for them."""

import sys
import uuid
from functools import partial
from pathlib import Path

from redis import Redis

import logs
from jobs.connection import worker_client
from jobs.costs import SharedCosts
from jobs.housekeeping import Housekeeping, most_kept_bytes
from jobs.images import Images
from jobs.machines import Machines
from jobs.owners import has_died
from jobs.poison import SharedPoison
from jobs.progress import note_progress
from jobs.results import Results
from jobs.store import make_store
from jobs.turns import Turns, make_queue
from lifeline import show_as
from metrics.numbers import Numbers
from predictors.catalogue import Catalogue
from predictors.client import Predictors
from settings import Settings, SettingsError, load_settings
from worker.deliverer import DelivererProcess
from worker.pool import Pool
from worker.tasks import Tasks


def main() -> None:
    show_as("punnet-pool")
    settings = load_settings()
    logs.configure(settings.logging_level, settings.log_format, sys.stdout)
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    for folder in (settings.state.spool, settings.state.ended, settings.state.results):
        folder.mkdir(exist_ok=True)
    name, queue = _pool_name(settings.state_dir), lambda: make_queue(worker_client(settings), settings.queue)
    pool = Pool(name, queue, partial(_tasks, settings), partial(_housekeeping, settings), settings.job_workers,
                settings.stop_timeout_s, DelivererProcess(settings, name, queue),
                partial(has_died, settings.state.owners))
    pool.start(logging_level=settings.logging_level.upper())


def _tasks(settings: Settings, client: Redis) -> Tasks:
    """With a Redis client of the process's own."""
    catalogue, queue = Catalogue(settings.state.catalogue), make_queue(client, settings.queue)
    machines = None if settings.embedded else Machines(queue, _pool_name(settings.state_dir))
    predictors, store = Predictors(settings.state, catalogue), make_store(client, settings)
    poison = SharedPoison(client, settings.queue, predictors.poison.ages_s, predictors.poison.learn)
    return Tasks(predictors, catalogue, Images(store), Results(store), partial(note_progress, queue),
                 SharedCosts(client, settings.queue).give, poison.exchange, Numbers(settings.state.numbers), machines)


def _housekeeping(settings: Settings, queue: Turns) -> Housekeeping:
    """The pool's, which works for no job itself."""
    return Housekeeping(queue, make_store(queue.connection, settings), most_kept_bytes(settings))


def _pool_name(state_dir: Path) -> str:
    """Drawn once per state folder: host names and paths may be the same in two containers."""
    file = state_dir / "pool-name"
    if not file.is_file() or not file.stat().st_size:  # empty: the disk was full
        file.write_text(f"pool-{uuid.uuid4().hex[:12]}")
    return file.read_text()


if __name__ == "__main__":
    try:
        main()
    except SettingsError as error:
        sys.exit(f"punnet: {error}")
