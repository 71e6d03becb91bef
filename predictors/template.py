"""The process that one generation of predictors is forked from: it loads their models, and replaces those that die.

It has one thread, so that it may fork at any time. The next generation's template is forked from it too, so that
models that did not change are shared in memory.
"""

import contextlib
import ctypes
import gc
import logging
import os
import select
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import inference.heic_pixels  # noqa: F401 (before the fork: predictors share the library)
from inference.calibration import measure_decoding
from inference.drawing.fonts import Fonts
from inference.loading import load, reason_of, warm_up
from inference.model import LoadedModel
from inference.prediction import one_by_one
from inference.registry import Candidate
from inference.repository import Fingerprints
from lifeline import die_with_parent, show_as
from metrics.definitions import RESERVED_BYTES, RUNNING
from metrics.numbers import Numbers
from predictors import priority
from predictors.children import Child, Children, Refusal, SayReady
from predictors.deaths import Deaths
from predictors.decode_limit import limit_of
from predictors.generation import Key, candidate_from_json, key_of
from predictors.memory_limit import limit_memory
from predictors.protocol import Inbox, packed
from predictors.reservations import DecodedBytes
from predictors.server import Predictor
from predictors.shared_units import SharedUnits
from predictors.tile_threads import TileThreads
from settings import Settings, available_cores

WARM_UP_MS = 500.0  # a model that takes longer is not run before its first question
REASON_LENGTH = 500
DRAWERS = 1  # where no jobs run: of the group that results are drawn by which take long
LOOK_S = 1.0  # for predictors that are forked again after a pause
OOM_SCORE = 500
log = logging.getLogger(__name__)


@dataclass
class Template:
    """Belongs to one generation, for its life. `listeners` are the sockets that each group accepts on; `parent_pid` is
    of the process that orders generations."""

    settings: Settings
    parent_pid: int
    listeners: Mapping[str, Sequence[socket.socket]]
    models: dict[Key, LoadedModel] = field(default_factory=dict)
    decoding: Sequence[Any] = ()
    _later: list[Candidate] = field(default_factory=list)  # models that each predictor has to load itself
    _is_to_end: bool = False
    _is_told: bool = False  # the parent knows that this generation serves

    def run(self) -> "Template | None":
        """Load what the parent wants, serve it until there is something newer, then let the work end.

        Returns None then; in a process that was forked meanwhile it returns the next generation's template, to be run
        there.
        """
        show_as("punnet-templ")
        self._pid = os.getpid()
        self.decoding = self.decoding or list(measure_decoding())
        self._control = connected(self.settings)
        self._inbox = Inbox(self._control)
        self._tell({"kind": "hello", "pid": self._pid})
        refused = self._load(self._inbox.receive().head["wanted"])
        self._listen_to_signals()
        self._children = Children(self._counts(), self._live, Deaths(self.settings.state.deaths))
        self._children.fill()
        return self._serve(refused)

    def _load(self, wanted: Sequence[Mapping[str, Any]]) -> list[Refusal]:
        """Hold exactly these models. Returns those that could not be loaded."""
        began, held, refused = time.monotonic(), self.models, list[Refusal]()
        self.models = {}
        for candidate in map(candidate_from_json, wanted):
            try:
                self._hold(candidate, held)
            except Exception as error:  # whatever one model's files bring, the others serve
                refused.append(_refusal(candidate, error))
        held.clear()
        _tidy_up()
        log.info("%d models are loaded, after %.1f s", len(self.models), time.monotonic() - began)
        return refused

    def _hold(self, candidate: Candidate, held: Mapping[Key, LoadedModel]) -> None:
        """A model with threads of its own, or on a device, does not survive a fork: each predictor loads it."""
        key = key_of(candidate.info)
        if candidate.info.one_thread and key in held:
            self.models[key] = held[key]
        elif candidate.info.one_thread:
            self._tell({"kind": "loading", "fingerprint": candidate.info.fingerprint})
            self.models[key] = _loaded(candidate)
        else:
            self._later.append(candidate)

    def _listen_to_signals(self) -> None:
        """`_woken` can be read when a child ended, or this generation is to end."""
        self._woken, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._end)

    def _end(self, *_: object) -> None:
        self._is_to_end = True

    def _serve(self, refused: Sequence[Refusal]) -> "Template | None":
        while not self._children.have_ended:
            if self._children.are_ready and not self._is_told:
                self._is_told = True
                refused = [*refused, *self._children.refused]
                fingerprints = {one["fingerprint"] for one in refused}
                self._later = [one for one in self._later if one.info.fingerprint not in fingerprints]
                self._tell({"kind": "serving", "refused": refused, "decoding": self.decoding})
            watched: list[Any] = [self._woken, self._children.pipe, self._control]
            ready, _, _ = select.select(watched, [], [], LOOK_S)
            if self._woken in ready:
                os.read(self._woken, 1 << 16)
            if self._children.pipe in ready:
                self._children.note_ready()
            if self._control in ready and self._is_forked_to_succeed():
                return self._successor()
            self._children.reap()
            if self._is_to_end:
                self._children.end()
            self._children.fill()
        return None

    def _is_forked_to_succeed(self) -> bool:
        """The parent wants a successor. True in the successor's process: a grandchild, which becomes the parent's child
        and so may outlive this process.

        Raises:
            ConnectionError: the parent is gone.
        """
        self._inbox.receive()
        if os.fork() != 0:
            return False
        between = os.getpid()
        if os.fork() != 0:
            os._exit(0)
        while os.getppid() == between:  # until it has ended
            time.sleep(0.001)
        return True

    def _successor(self) -> "Template":
        self._forget_signals()
        self._leave()
        die_with_parent(self.parent_pid)
        return Template(self.settings, self.parent_pid, self.listeners, self.models, self.decoding)

    def _forget_signals(self) -> None:
        """In a process that was forked from this one: signals are not for this template."""
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)

    def _leave(self) -> None:
        """In a process that was forked from this one: close what only this template needs."""
        for descriptor in (self._woken, self._wake):
            os.close(descriptor)
        self._control.close()
        self._children.close()

    def _tell(self, head: Mapping[str, Any]) -> None:
        self._control.sendall(b"".join(packed(head)))

    def _counts(self) -> dict[str, int]:
        """Predictors of each group: a device's models are held once."""
        inline = self.settings.predictors if self.settings.is_web else 0
        jobs = self.settings.job_workers if self.settings.runs_jobs else DRAWERS
        on_device = any(candidate.info.on_device for candidate in self._later)
        return {"quick": inline, "long": inline, "job": jobs, "device": int(on_device)}

    def _live(self, child: Child, say_ready: SayReady) -> None:
        """A predictor's life."""
        self._forget_signals()
        die_with_parent(self._pid)
        show_as(f"punnet-{child.group}")
        _go_first_where_memory_ends()
        priority.become_background(child.group)
        models, refused = self._models_of(child.group)
        if refused and self._is_told:
            raise SystemExit(1)  # what it lacks is served by now: another one tries after a pause
        numbers = Numbers(self.settings.state.numbers)
        predictor = self._predictor(child, models, numbers)
        limit_memory(self.settings.decoded_bytes)
        say_ready(refused)
        self._leave()
        with numbers.living(f"{child.group} predictor"):
            predictor.serve()

    def _models_of(self, group: str) -> tuple[dict[Key, LoadedModel], list[Refusal]]:
        """What a predictor of this group holds, and what it could not load itself: the others serve all the same."""
        models, refused = {} if group == "device" else dict(self.models), list[Refusal]()
        for candidate in self._later:
            if candidate.info.on_device == (group == "device"):
                try:
                    models[key_of(candidate.info)] = _loaded(candidate)
                except Exception as error:
                    log.warning("a predictor of the group %s goes without %r: %s", group, candidate.files.name, error)
                    refused.append(_refusal(candidate, error))
        return models, refused

    def _predictor(self, child: Child, models: Mapping[Key, LoadedModel], numbers: Numbers) -> Predictor:
        state, cores = self.settings.state, available_cores()
        decoded = DecodedBytes(state.decoded, self.settings.decoded_bytes, child.group,
                               lambda reserved: numbers.set(RESERVED_BYTES, reserved, "decoded images"))
        run_all = TileThreads(SharedUnits(state.cores, cores)).run_all if child.group == "job" else one_by_one
        run = priority.IdleThread().run if child.group == "long" else priority.at_once
        limit = limit_of(child.group, self.settings.inline_budget_ms) or nullcontext
        return Predictor(child.name, self.listeners[child.group], models, self.settings.max_pixels, decoded, run_all,
                         run, limit, Fonts(self.settings.font), child.output,
                         tell_busy=lambda is_busy: numbers.set(RUNNING, is_busy, child.group))


def run_generations(template: Template) -> None:
    """The life of a template's process, and of those that are forked from it to succeed it: each of them comes back
    to this loop, so that the stack does not grow with the generations."""
    following: Template | None = template
    while following is not None:
        following = following.run()


def connected(settings: Settings) -> socket.socket:
    """A connection to the predictors' parent."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(settings.state.socket("predictors")))
    return connection


def _loaded(candidate: Candidate) -> LoadedModel:
    """The model, once run where that takes no time.

    Raises:
        ModelNotUsable. FileNotFoundError: its files are others by now; the parent will notice.
    """
    model = load(candidate.files, candidate.info)
    if Fingerprints().of(candidate.files) != candidate.info.fingerprint:
        raise FileNotFoundError(candidate.files.name)
    if candidate.info.run_ms <= WARM_UP_MS:
        warm_up(model, runs=1)
    return model


def _refusal(candidate: Candidate, error: Exception) -> Refusal:
    """What the parent is told of a model that could not be loaded: no reason where its files are others by now."""
    reason = "" if isinstance(error, FileNotFoundError) else reason_of(error)
    return {"fingerprint": candidate.info.fingerprint, "reason": reason[:REASON_LENGTH]}


def _go_first_where_memory_ends() -> None:
    """The kernel is to end a predictor before the queue server and the web processes, where it lets itself be told."""
    file = Path("/proc/self/oom_score_adj")
    with contextlib.suppress(OSError):
        file.write_text(str(max(OOM_SCORE, int(file.read_text()))))


def _tidy_up() -> None:
    """What a dropped model used goes back to the system, and a collection in a predictor leaves alone what it shares
    with the others."""
    gc.collect()
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):  # glibc's
        libc.malloc_trim(0)
    gc.freeze()
