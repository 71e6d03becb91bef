"""The predictors' parent: it looks at the models folder, has new models tried, and orders generations of predictors.

It loads no model and has one thread, so it notices within a second whatever dies, whatever else is loading.
"""

import contextlib
import ctypes
import logging
import os
import select
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from inference.registry import Candidate, Place, Registry
from inference.trial import Trials
from lifeline import die_with_parent, end_in_words, show_as
from predictors import catalogue
from predictors.catalogue import Listing
from predictors.children import run_and_exit
from predictors.generation import candidate_to_json
from predictors.protocol import DEVICE_ROUTES, ROUTES, Inbox, packed
from settings import Settings, available_cores

LOOK_S = 1.0  # at the models folder: a file counts as copied when two looks at it show the same
STEP_S = 0.2
END_STEP_S = 0.05
GENERATION_S = 2.0  # between two generations, so that changes are taken together
HELLO_S = 30.0  # for a template to start
SERVING_S = 180.0  # for a template to load its models; a gigabyte takes some seconds
MOST_KILLED = 3  # templates that were killed, one after the other, while they loaded the same model
IMPATIENT_S = 5.0  # a change waits no longer for trials
FIRST_S = 1.5  # the first model waits no longer for the others
START_S = 15.0  # for the trials of a start, where one model is ready
BACKLOG = 4096
CRASHED = ("loading it ends the process that loads all models, or takes too long, though its trial went well: export "
           "it again, or give the machine more memory")
MEANWHILE = ("the models are loaded again; until a line says that a generation serves, callers wait or are given a "
             "job, and jobs wait")
PR_SET_CHILD_SUBREAPER = 36
log = logging.getLogger(__name__)


@dataclass
class Generation:
    """A template's process, and the models that it was asked to load. Those that it refuses are taken out again. It is
    asked after it has said hello, because its own libraries take a second to load."""

    pid: int
    holds: dict[Place, Candidate] = field(default_factory=dict)
    connection: socket.socket | None = None
    inbox: Inbox | None = None
    asked_at: float | None = None
    loading: str = ""  # fingerprint of the model that it was last heard to load


@dataclass
class Parent:
    """The predictors of one instance."""

    settings: Settings
    _began: float = field(default_factory=time.monotonic)
    _served: dict[Place, Candidate] = field(default_factory=dict)
    _current: Generation | None = None
    _coming: Generation | None = None
    _retiring: dict[int, Generation] = field(default_factory=dict)
    _killed: Counter[str] = field(default_factory=Counter)  # fingerprint -> templates that were killed loading it
    _ordered_at: float = float("-inf")
    _looked_at: float = float("-inf")
    _is_ready: bool = False
    _is_to_end: bool = False
    _decoding: Any = ()
    _listing: Listing | None = None

    def run(self) -> None:
        """Until SIGTERM; then the predictors end after the answers that they are about."""
        show_as("punnet-parent")
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
        signal.signal(signal.SIGTERM, self._end)
        self.settings.state_dir.mkdir(parents=True, exist_ok=True)
        state, trials = self.settings.state, Trials(self.settings.state.trials, available_cores())
        self._registry = Registry(self.settings.models_dir, trials)
        self._control = _listening(state.socket("predictors"))
        names = (*ROUTES, *sorted({*DEVICE_ROUTES.values()}))
        self._listeners = {name: _listening(state.socket(name)) for name in names}
        # After a crash of this process the old list stays true until the first generation serves.
        self._may_list = not state.catalogue.exists()
        while not self._is_to_end:
            self._step()
        trials.end()
        self._wait_for_the_end()

    def _end(self, number: int, frame: FrameType | None) -> None:
        self._is_to_end = True

    def _step(self) -> None:
        if time.monotonic() - self._looked_at >= LOOK_S:
            self._looked_at = time.monotonic()
            self._look(self._registry.look)
        else:
            self._look(self._registry.follow)
        self._reap()
        self._give_up()
        self._order()
        self._ask_to_load()
        self._list()
        self._hear()

    def _look(self, look: Callable[[], None]) -> None:
        try:
            look()
        except OSError as error:  # a full disk says nothing about the models; the next look tries again
            log.error("the models folder cannot be followed: %s", error)

    def _order(self) -> None:
        """Have a template forked where something else is wanted than what is served."""
        now, wanted = time.monotonic(), self._registry.wanted(self._served)
        changed = self._current is None or wanted != self._current.holds
        if changed and self._coming is None and now - self._ordered_at >= GENERATION_S:
            self._ordered_at = now
            self._coming = Generation(self._forked())

    def _ask_to_load(self) -> None:
        """Tell a template that has said hello what to hold, once no quick trial is worth waiting for."""
        now, coming = time.monotonic(), self._coming
        if coming is None or coming.connection is None or coming.asked_at is not None:
            return
        if self._registry.trials.busy and now - self._ordered_at < self._patience_s():
            return
        coming.asked_at, coming.holds = now, self._registry.wanted(self._served)
        wanted = [candidate_to_json(candidate) for candidate in coming.holds.values()]
        with contextlib.suppress(OSError):  # it died or is stuck: the next look at the children tells
            coming.connection.sendall(b"".join(packed({"wanted": wanted})))

    def _patience_s(self) -> float:
        """How long a generation waits for trials, so that their models come with it. What is served by no process any
        more does not wait, and the first models that are served do not wait long."""
        if self._current is None and self._served:
            return 0.0
        return FIRST_S if not self._served and self._registry.wanted(self._served) else IMPATIENT_S

    def _forked(self) -> int:
        """The pid of a new template; 0 where the current one forks it, until it says hello."""
        if self._current is not None and self._current.connection is not None:
            with contextlib.suppress(ConnectionError):  # it died: the next look at the children tells
                self._current.connection.sendall(b"".join(packed({"kind": "succeed"})))
            return 0
        parent_pid = os.getpid()
        pid = os.fork()
        if pid == 0:
            run_and_exit(lambda: self._become_template(parent_pid))
        return pid

    def _become_template(self, parent_pid: int) -> None:
        from predictors.template import Template, run_generations  # onnxruntime, which this parent does without

        die_with_parent(parent_pid)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._control.close()
        self._registry.trials.leave()
        listeners: dict[str, list[socket.socket]] = {route: [self._listeners[route]] for route in ROUTES}
        device = [self._listeners["device-inline"], self._listeners["device-job"]]
        run_generations(Template(self.settings, parent_pid, {**listeners, "device": device}))

    def _hear(self) -> None:
        """Wait a moment for what the templates have to say."""
        connections = {generation.connection: generation for generation in (self._current, self._coming)
                       if generation is not None and generation.connection is not None}
        ready, _, _ = select.select([self._control, *connections], [], [], STEP_S)
        for connection in ready:
            with contextlib.suppress(OSError):  # it died or is stuck: the next look at the children tells
                if connection is self._control:
                    self._welcome(self._control.accept()[0])
                else:
                    self._note(connections[connection])

    def _welcome(self, connection: socket.socket) -> None:
        """A new template says hello. One that was given up meanwhile ends when its connection is closed."""
        connection.settimeout(HELLO_S)
        inbox, coming = Inbox(connection), self._coming
        pid = inbox.receive().head["pid"]
        if coming is None or coming.connection is not None or coming.pid not in (0, pid):
            connection.close()
            return
        coming.pid, coming.connection, coming.inbox = pid, connection, inbox

    def _note(self, generation: Generation) -> None:
        """Hear what a template loads, and at last that it serves."""
        assert generation.inbox is not None
        head = generation.inbox.receive().head
        if head["kind"] == "loading":
            generation.loading = head["fingerprint"]
        else:
            self._succeed(generation, head)

    def _succeed(self, generation: Generation, head: Mapping[str, Any]) -> None:
        """A generation serves: it takes the place of the one before, unless it lacks what that one holds."""
        self._decoding, self._coming = head["decoding"], None
        self._killed.clear()
        refused = self._refused(generation, {one["fingerprint"]: one["reason"] for one in head["refused"]})
        if self._current is not None and any(key in self._served for key in refused):
            self._retire(generation)
            return
        self._served, self._may_list = dict(generation.holds), True
        before, self._current = self._current, generation
        self._list()
        log.info("a generation serves: %s", ", ".join(name for name, _ in generation.holds) or "no models")
        if before is not None:
            self._retire(before)

    def _retire(self, generation: Generation) -> None:
        self._retiring[generation.pid] = generation
        os.kill(generation.pid, signal.SIGTERM)

    def _refused(self, generation: Generation, reasons: Mapping[str, str]) -> list[Place]:
        """What a generation could not load; without a reason its files are others by now."""
        refused = [key for key, one in generation.holds.items() if one.info.fingerprint in reasons]
        for key in refused:
            candidate = generation.holds.pop(key)
            if reason := reasons[candidate.info.fingerprint]:
                self._registry.refuse(candidate, reason)
        return refused

    def _reap(self) -> None:
        """Templates, predictors that a killed template left, and the nursery of trials."""
        for pid in _children():
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self._forget(pid, os.waitstatus_to_exitcode(status))

    def _forget(self, pid: int, status: int) -> None:
        if self._retiring.pop(pid, None):
            return
        if self._current is not None and self._current.pid == pid:
            log.error("the predictors' template (pid %d) %s, and all predictors end with it: %s", pid,
                      end_in_words(status), MEANWHILE)
            self._current = None
            if self._coming is not None and not self._coming.pid:  # it was to be forked from the one that died
                self._coming = None
        elif self._coming is not None and self._coming.pid == pid:
            log.error("a template of predictors (pid %d) %s while it loaded models", pid, end_in_words(status))
            self._blame(self._coming, status)

    def _give_up(self) -> None:
        """Forget a template that never said hello, or that loads for ever."""
        now, coming = time.monotonic(), self._coming
        if coming is None:
            return
        if coming.connection is None and now - self._ordered_at > HELLO_S:
            log.error("a template of predictors was not forked, or did not say hello")
            self._end_coming(coming)
        elif coming.asked_at is not None and now - coming.asked_at > SERVING_S:
            log.error("a template of predictors does not come to an end with loading")
            self._end_coming(coming)
            self._blame(coming, 0)

    def _end_coming(self, coming: Generation) -> None:
        self._coming = None
        if coming.pid:
            os.kill(coming.pid, signal.SIGKILL)

    def _blame(self, coming: Generation, status: int) -> None:
        """What a template was about to load is refused where it crashed or hung, or was killed again and again."""
        self._coming = None
        self._killed[coming.loading] += 1
        if status == -signal.SIGKILL and self._killed[coming.loading] < MOST_KILLED:
            return
        for candidate in coming.holds.values():
            if candidate.info.fingerprint == coming.loading:
                self._registry.refuse(candidate, CRASHED)

    def _list(self) -> None:
        entries = self._registry.entries(self._served)
        loading = any(entry.state == "loading" for entry in entries)
        late = time.monotonic() - self._began > START_S and any(entry.state == "ready" for entry in entries)
        self._is_ready = self._is_ready or (self._current is not None and not loading) or late
        listing = Listing(entries, self._is_ready, self._decoding)
        if self._may_list and listing != self._listing:
            try:
                catalogue.write(self.settings.state.catalogue, listing)
                self._listing = listing
            except OSError as error:  # a full disk: the next step tries again
                log.error("the catalogue cannot be written: %s", error)

    def _wait_for_the_end(self) -> None:
        """Ask all children again and again: a template that was just forked may become a child only now."""
        while children := _children():
            for pid in children:
                if os.waitpid(pid, os.WNOHANG) == (0, 0):
                    os.kill(pid, signal.SIGTERM)
            time.sleep(END_STEP_S)


def _listening(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(BACKLOG)
    return listener


def _children() -> set[int]:
    return set(map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()))
