"""What the predictors' parent makes of templates that come, go, and never come. Each test's parent is a fork, so that
it looks at its own children only."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from inference.model_info import ModelInfo
from inference.registry import Candidate, Place, Registry
from inference.repository import ModelFiles
from predictors import pool as module
from predictors.pool import Generation, Parent
from predictors.protocol import Inbox, packed
from settings import Settings
from tests.unit.forks import forked

Say = Callable[[], None]


class FakeRegistry:
    """It wants what it is told to want, and remembers what was refused."""

    def __init__(self) -> None:
        self.trials = SimpleNamespace(pids=set(), busy=False)
        self.wants: dict[Place, Candidate] = {}
        self.refused: list[str] = []

    def wanted(self, served: object) -> dict[Place, Candidate]:
        return self.wants

    def refuse(self, candidate: Candidate, reason: str) -> None:
        self.refused.append(candidate.files.name)

    def entries(self, served: object) -> list[object]:
        return []


@pytest.fixture
def parent(settings: Settings) -> Parent:
    parent = Parent(settings)
    parent._registry = cast(Registry, FakeRegistry())
    return parent


def program(code: str = "") -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", code])


def says_hello(pid: int) -> tuple[socket.socket, socket.socket]:
    """A template's connection, and the parent's end of it."""
    theirs, ours = socket.socketpair()
    theirs.settimeout(5)
    theirs.sendall(b"".join(packed({"kind": "hello", "pid": pid})))
    return theirs, ours


def has_ended(child: "subprocess.Popen[bytes]") -> None:
    """It is a zombie then, which is to be reaped yet."""
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)


def test_others_are_reaped(parent: Parent) -> None:
    def life(say_ready: Say) -> None:
        orphan = program()
        has_ended(orphan)
        parent._reap()
        assert module._children() == set()

    assert forked(life).status() == 0


def test_a_template_that_dies_while_it_loads_is_forgotten(parent: Parent) -> None:
    def life(say_ready: Say) -> None:
        template = program()
        parent._coming = Generation(template.pid)
        has_ended(template)
        parent._reap()
        assert parent._coming is None

    assert forked(life).status() == 0


@pytest.mark.parametrize("is_forked", [True, False], ids=["forked by the parent", "to be forked by a template"])
def test_a_template_that_never_says_hello_is_given_up(parent: Parent, monkeypatch: pytest.MonkeyPatch,
                                                      is_forked: bool) -> None:
    def life(say_ready: Say) -> None:
        template = program("import time; time.sleep(20)")
        parent._coming, parent._ordered_at = Generation(template.pid if is_forked else 0), module.time.monotonic()
        parent._give_up()
        assert parent._coming is not None
        monkeypatch.setattr(module, "HELLO_S", -1)
        parent._give_up()
        assert parent._coming is None
        template.terminate()
        assert template.wait() == (-signal.SIGKILL if is_forked else -signal.SIGTERM)

    assert forked(life).status() == 0


def test_who_comes_is_asked_to_load_once_no_trial_is_worth_waiting_for(
        parent: Parent, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = cast(FakeRegistry, parent._registry)
    parent._coming, parent._ordered_at, registry.trials.busy = Generation(0), module.time.monotonic(), True
    theirs, ours = says_hello(4711)
    parent._welcome(ours)
    parent._ask_to_load()
    assert (parent._coming.pid, parent._coming.connection, parent._coming.asked_at) == (4711, ours, None)
    monkeypatch.setattr(module, "IMPATIENT_S", -1)  # a trial that is repeated for ever keeps nobody waiting
    parent._ask_to_load()
    parent._ask_to_load()
    assert Inbox(theirs).receive().head == {"wanted": []}
    assert parent._coming.asked_at is not None
    theirs.setblocking(False)
    with pytest.raises(BlockingIOError):  # it is asked once
        theirs.recv(1)


def candidate(name: str) -> Candidate:
    info = SimpleNamespace(fingerprint=name)
    return Candidate(ModelFiles(name, "1", Path(name), None), cast(ModelInfo, info))


def serving(parent: Parent, pid: int, *names: str) -> Generation:
    """A generation that was asked to load models of these names."""
    return Generation(pid, {(name, 1): candidate(name) for name in names}, *socket.socketpair()[:1])


def says_it_serves(generation: Generation, **refused: str) -> None:
    theirs, ours = socket.socketpair()
    head = {"kind": "serving", "decoding": [],
            "refused": [{"fingerprint": name, "reason": reason} for name, reason in refused.items()]}
    theirs.sendall(b"".join(packed(head)))
    generation.inbox = Inbox(ours)


def test_a_new_model_that_cannot_be_loaded_does_not_keep_the_others_from_serving(parent: Parent) -> None:
    new = serving(parent, 2, "good", "bad")
    says_it_serves(new, bad="broken")
    parent._coming = new
    parent._note(new)
    assert parent._current is new
    assert [name for name, _ in parent._served] == ["good"]
    assert cast(FakeRegistry, parent._registry).refused == ["bad"]


def test_a_generation_that_lost_a_served_model_does_not_take_over(parent: Parent) -> None:
    def life(say_ready: Say) -> None:
        template = program("import time; time.sleep(20)")
        before, new = serving(parent, 1, "leaf"), serving(parent, template.pid, "leaf")
        parent._current, parent._served = before, dict(before.holds)
        says_it_serves(new, leaf="broken")
        parent._coming = new
        parent._note(new)
        assert (parent._current, parent._coming) == (before, None)
        assert [name for name, _ in parent._served] == ["leaf"]
        assert template.wait() == -signal.SIGTERM

    assert forked(life).status() == 0


def loading(parent: Parent, pid: int, name: str) -> None:
    """A template that was asked to load an old model and new ones, and is at one of these."""
    holds = parent._served | {(new, 1): candidate(new) for new in ("new", "newer")}
    parent._coming = Generation(pid, holds, asked_at=module.time.monotonic(), loading=name)


def test_a_model_that_crashes_the_template_is_refused_and_no_other(parent: Parent) -> None:
    parent._served = {("old", 1): candidate("old")}
    loading(parent, 7, "new")
    parent._forget(7, -signal.SIGSEGV)
    assert parent._coming is None
    assert cast(FakeRegistry, parent._registry).refused == ["new"]


def test_a_template_that_is_killed_is_no_word_on_the_model_until_it_is_killed_again_and_again(parent: Parent) -> None:
    for kill in range(module.MOST_KILLED):
        assert cast(FakeRegistry, parent._registry).refused == []
        loading(parent, 7 + kill, "new")
        parent._forget(7 + kill, -signal.SIGKILL)
    assert cast(FakeRegistry, parent._registry).refused == ["new"]


def test_a_template_that_loads_for_ever_is_ended(parent: Parent, monkeypatch: pytest.MonkeyPatch) -> None:
    def life(say_ready: Say) -> None:
        template = program("import time; time.sleep(20)")
        loading(parent, template.pid, "new")
        cast(Generation, parent._coming).connection = socket.socket()
        parent._give_up()
        assert parent._coming is not None
        monkeypatch.setattr(module, "SERVING_S", -1)
        parent._give_up()
        assert parent._coming is None
        assert cast(FakeRegistry, parent._registry).refused == ["new"]
        assert template.wait() == -signal.SIGKILL

    assert forked(life).status() == 0


@pytest.mark.parametrize("coming", [None, Generation(1), Generation(4711, {}, socket.socket())])
def test_who_comes_when_nobody_waits_for_it_is_sent_away(parent: Parent, coming: Generation | None) -> None:
    parent._coming = coming
    theirs, ours = says_hello(4711)
    parent._welcome(ours)
    assert theirs.recv(1) == b""
    assert parent._coming is coming


def test_who_says_nothing_does_not_keep_the_parent(parent: Parent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HELLO_S", 0.01)
    _, ours = socket.socketpair()
    with pytest.raises(TimeoutError):
        parent._welcome(ours)


@pytest.mark.parametrize(("pid", "stays"), [(0, False), (2, True)])
def test_the_death_of_a_template_ends_a_coming_one_only_if_it_was_to_be_forked_from_it(
        parent: Parent, pid: int, stays: bool) -> None:
    parent._current, parent._coming = Generation(1), Generation(pid)
    parent._forget(1, -9)
    assert parent._current is None
    assert (parent._coming is not None) == stays


def test_what_the_death_of_a_template_means_is_told(parent: Parent, caplog: pytest.LogCaptureFixture) -> None:
    parent._current = Generation(7)
    parent._forget(7, -signal.SIGKILL)
    [told] = caplog.messages
    assert told.startswith("the predictors' template (pid 7) was killed by SIGKILL, and all predictors end with it: ")


def test_a_template_that_has_just_died_does_not_end_the_parent(parent: Parent) -> None:
    theirs, ours = socket.socketpair()
    theirs.close()
    parent._current = Generation(1, {}, ours)
    assert parent._forked() == 0


def test_the_end_waits_for_children_that_nobody_knows(parent: Parent) -> None:
    def life(say_ready: Say) -> None:
        program("import time; time.sleep(20)")
        parent._wait_for_the_end()
        assert module._children() == set()

    assert forked(life).status() == 0
