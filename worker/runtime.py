"""What a process that the pool forks holds ready, and how it keeps its models as their folder stands."""

import ctypes
import logging
import signal
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field, replace

from inference.cost import Snapshot
from inference.engine import Engine
from jobs.store import EndedImages, ImageStore
from lifeline import die_with_parent
from worker.giving_way import ByPriority, GivingWay, giving_way

MODELS_POLL_S = 1.0
PR_SET_NAME = 15
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Runtime:
    """What a warm worker holds ready for its jobs."""

    engine: Engine
    store: ImageStore
    ended: EndedImages
    note_progress: Callable[[str, int], None]
    share_costs: Callable[[Snapshot], Snapshot]
    way: GivingWay | ByPriority = field(default_factory=ByPriority)
    changing_models: threading.Lock = field(default_factory=threading.Lock)


# RQ names a function and knows nothing of objects: the worker's child sets this once, before its first job.
runtime: ContextVar[Runtime] = ContextVar("runtime")


def begin(given: Runtime, pool_pid: int, name: str) -> Runtime:
    """In a child of the pool, just forked; `name` is what `ps -o comm` shows, 15 bytes of it."""
    die_with_parent(pool_pid)
    _show_as(name)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # until it sets its own: not the pool's
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    current = replace(given, way=giving_way())
    current.engine.load()  # what may not be loaded before a fork
    current.engine.log_news()
    threading.Thread(target=_follow_forever, args=(current,), name="models", daemon=True).start()
    runtime.set(current)
    return current


def _show_as(name: str) -> None:
    ctypes.CDLL(None).prctl(PR_SET_NAME, name.encode())


def catch_up(current: Runtime, model_type: str, model_mark: str) -> None:
    """The job may have been accepted for a model that this worker is about to notice."""
    if current.engine.loaded_from(model_type, model_mark) is None:
        with current.changing_models:
            current.engine.catch_up(model_mark)


def _follow_forever(current: Runtime) -> None:
    """A worker's thread that keeps its models as their folder stands, and tells what jobs took. The front tries what
    is new: here a trial would run at low priority, and jobs would wait for it."""
    while True:
        time.sleep(MODELS_POLL_S)
        try:
            with current.changing_models:
                current.engine.follow(may_try=False)
                current.engine.log_news()
            current.engine.learn(current.share_costs)
        except Exception:  # a full disk, say: the models that are served go on being served
            log.exception("the models folder could not be followed")
