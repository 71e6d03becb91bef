"""The long lane's processes: forked like the job workers, each makes one prediction at a time that gunicorn asks for.

In a gunicorn process a slow picture's thread would hold up the quick ones whenever it lost its core while it had the
interpreter's lock.
"""

import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

from inference import remote
from inference.errors import InferenceError, InferenceFailed, Stopped
from inference.model import Prediction
from inference.runner import runner
from inference.stop import Stop
from worker.runtime import Runtime, catch_up

BACKLOG = 4096  # who comes when it is full would have gevent's hub try again and again; Linux's own limit cuts it
# A run that was called off ends at its next step; one that does not, in a loop of hooks.py, costs its process.
ENDING_S = 5.0
log = logging.getLogger(__name__)


class LanePool:
    """Keeps `count` of them running; `make_runtime` is called in each, with its parent's pid."""

    def __init__(self, path: Path, count: int, make_runtime: Callable[[int], Runtime]) -> None:
        self._path, self._count, self._make_runtime = path, count, make_runtime
        self._processes: list[BaseProcess] = []
        self._listener = socket.socket(socket.AF_UNIX)
        path.unlink(missing_ok=True)
        self._listener.bind(str(path))
        path.chmod(0o600)

    def keep_running(self) -> None:
        for process in filter(lambda process: process.exitcode, self._dead()):
            log.error("process %s of the long lane died with exit code %s", process.pid, process.exitcode)
        while len(self._processes) < self._count:
            process = get_context("fork").Process(target=self._live, args=(os.getpid(),))
            process.start()
            self._processes.append(process)

    def stop(self) -> None:
        """Take no new questions; what runs is answered. May be repeated."""
        self._path.unlink(missing_ok=True)
        self._listener.close()
        for process in self._processes:
            process.terminate()

    def leave(self) -> None:
        """In a child that is none of them: who asks is told of their end only once nobody holds the socket."""
        self._listener.close()

    def kill(self) -> None:
        for process in self._processes:
            process.kill()

    def has_ended(self) -> bool:
        self._dead()
        return not self._processes

    def _dead(self) -> list[BaseProcess]:
        """Those that have died since the last look."""
        dead = [process for process in self._processes if not process.is_alive()]
        self._processes = [process for process in self._processes if process not in dead]
        return dead

    def _live(self, pool_pid: int) -> None:
        runtime = self._make_runtime(pool_pid)
        self._listener.listen(BACKLOG)  # not before: until the models are loaded gunicorn helps itself
        LaneProcess(self._listener, runtime).serve()


class LaneProcess:
    """One of them. It ends at SIGTERM, after an answer that it is about."""

    def __init__(self, listener: socket.socket, runtime: Runtime) -> None:
        self._listener, self._runtime = listener, runtime
        self._is_busy = self._is_to_end = False

    def serve(self) -> None:
        signal.signal(signal.SIGTERM, self._end)
        while not self._is_to_end:
            connection, _ = self._listener.accept()
            self._is_busy = True
            with connection:
                self._serve(connection)
            self._is_busy = False

    def _end(self, *_: object) -> None:
        self._is_to_end = True
        if not self._is_busy:
            raise SystemExit(0)

    def _serve(self, connection: socket.socket) -> None:
        try:
            question, image = remote.take(connection)
            with _until_hung_up(connection) as stop:
                answer = self._answer(question, image, stop)
            remote.answer(connection, answer)
        except OSError as error:
            log.debug("the asker is gone: %s", error)

    def _answer(self, question: remote.Question, image: bytes, stop: Stop) -> bytes:
        try:
            return remote.packed(self._predict(question, image, stop))
        except InferenceError as error:
            return remote.packed(error)
        except Exception as error:
            log.exception("unexpected error")
            return remote.packed(InferenceFailed(f"unexpected {type(error).__name__}; worker.log has it"))

    def _predict(self, question: remote.Question, image: bytes, stop: Stop) -> Prediction | None:
        engine = self._runtime.engine
        catch_up(self._runtime, question.model_type, question.mark)
        model = engine.loaded_from(question.model_type, question.mark)
        if model is None:
            return None
        with self._runtime.way.working():
            opened = runner.get().run(lambda: engine.open(image))
            return model.predict(opened, model.parameters(question.parameters), stop=stop)


@contextmanager
def _until_hung_up(connection: socket.socket) -> Iterator[Stop]:
    """A Stop that ends what runs inside when the asker has closed."""
    stop, has_ended = Stop(), threading.Event()
    threading.Thread(target=_stop_at_hang_up, args=(connection, stop, has_ended), daemon=True).start()
    try:
        yield stop
    finally:
        has_ended.set()


def _stop_at_hang_up(connection: socket.socket, stop: Stop, has_ended: threading.Event) -> None:
    with suppress(OSError):
        connection.recv(1)
    if has_ended.is_set():
        return
    stop.end(Stopped("the asker has called it off"))
    if not has_ended.wait(ENDING_S):
        log.error("a prediction that was called off goes on: its process is ended")
        os._exit(1)
