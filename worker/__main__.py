"""`python -m worker`: load the models once, fork the workers, watch them."""

import logging
import os
import sys
import uuid
from functools import partial
from pathlib import Path
from typing import Any

from inference.engine import Engine
from jobs.connection import worker_client
from jobs.costs import SharedCosts
from jobs.queue import make_ended_store, make_store, note_progress
from settings import Settings, SettingsError, load_settings
from worker.giving_way import NICENESS
from worker.lane import LanePool
from worker.pool import WarmPool
from worker.runtime import Runtime, begin

LOG_FORMAT = "%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"


def main() -> None:
    settings = load_settings()
    os.nice(NICENESS)
    logging.basicConfig(level=settings.logging_level.upper(), format=LOG_FORMAT, stream=sys.stdout)
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    for folder in (settings.spool_dir, settings.ended_dir):
        folder.mkdir(exist_ok=True)
    engine = Engine(settings.models_dir, settings.max_pixels, settings.trials_dir)
    if settings.preloads:
        engine.load(before_fork=True)
        engine.log_news()
    runtime_of = partial(_runtime, settings, engine)
    lane = LanePool(settings.lane_socket, settings.lane_processes,
                    lambda pid: begin(runtime_of(worker_client(settings)), pid, "punnet-lane"))
    pool = WarmPool(_pool_name(settings.state_dir), lambda: worker_client(settings), runtime_of,
                    settings.job_workers, lane, settings.job_timeout_s, settings.stop_timeout_s)
    pool.start(logging_level=settings.logging_level.upper())


def _runtime(settings: Settings, engine: Engine, client: Any) -> Runtime:
    """With a Redis client of the process's own."""
    return Runtime(engine, make_store(client, settings), make_ended_store(client, settings),
                   partial(note_progress, client), SharedCosts(client).exchange)


def _pool_name(state_dir: Path) -> str:
    """Drawn once per state folder: host names and paths may be the same in two containers."""
    file = state_dir / "pool-name"
    if not file.is_file():
        file.write_text(f"pool-{uuid.uuid4().hex[:12]}")
    return file.read_text()


if __name__ == "__main__":
    try:
        main()
    except SettingsError as error:
        sys.exit(f"punnet: {error}")
