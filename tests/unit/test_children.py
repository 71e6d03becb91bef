"""Predictors are forked, counted and replaced."""

import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from predictors import children as module
from predictors.children import Child, Children, SayReady, run_and_exit
from predictors.deaths import FROM_OUTSIDE, Deaths
from tests.unit.forks import forked, sleep_for_ever

Live = Callable[[Child, SayReady], None]


def waits(child: Child, say_ready: SayReady) -> None:
    signal.alarm(30)  # whatever goes wrong, nothing of a test stays
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    say_ready([])
    sleep_for_ever()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Children]]:
    made: list[Children] = []

    def make(live: Live = waits, **counts: int) -> Children:
        made.append(Children(counts or {"quick": 1, "job": 2}, live, Deaths(tmp_path / "deaths")))
        made[-1].fill()
        return made[-1]

    yield make
    for children in made:
        for pid in children._running:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        children.close()


def turn_until(children: Children, is_so: Callable[[], bool]) -> None:
    """What a template does again and again."""
    until = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < until
        if select.select([children.pipe], [], [], 0.005)[0]:
            children.note_ready()
        children.reap()
        children.fill()


def groups(children: Children) -> list[str]:
    return sorted(child.group for child in children._running.values())


def test_each_group_has_as_many_as_it_should(make: Callable[..., Children]) -> None:
    children = make(quick=2, job=1, device=0)
    assert not children.are_ready
    turn_until(children, lambda: children.are_ready)
    assert groups(children) == ["job", "quick", "quick"]


def test_one_that_is_killed_is_replaced_and_its_death_is_noted(make: Callable[..., Children], tmp_path: Path) -> None:
    children = make(quick=1)
    turn_until(children, lambda: children.are_ready)
    [(pid, child)] = children._running.items()
    os.kill(pid, signal.SIGKILL)
    turn_until(children, lambda: bool(children._running) and pid not in children._running)
    assert Deaths(tmp_path / "deaths").how(child.name) == FROM_OUTSIDE
    turn_until(children, lambda: children.are_ready)
    assert [other.name != child.name for other in children._running.values()] == [True]


def test_one_that_ends_unasked_has_died_too(make: Callable[..., Children], tmp_path: Path) -> None:
    children = make(quick=1)
    turn_until(children, lambda: children.are_ready)
    [(pid, child)] = children._running.items()
    os.kill(pid, signal.SIGTERM)
    turn_until(children, lambda: pid not in children._running)
    assert (tmp_path / "deaths" / child.name).read_text() == "exit code 0"


def test_one_that_dies_before_it_is_ready_is_not_replaced_at_once(make: Callable[..., Children], tmp_path: Path,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE_S", 60)
    children = make(lambda child, say_ready: None if child.group == "job" else waits(child, say_ready), quick=1, job=1)
    turn_until(children, lambda: groups(children) == ["quick"] and not children._unready)
    children.fill()
    assert groups(children) == ["quick"]
    assert not children.are_ready
    [(pid, _)] = children._running.items()
    os.kill(pid, signal.SIGKILL)
    turn_until(children, lambda: bool(children._running) and pid not in children._running)


def test_one_that_dies_before_it_is_ready_is_replaced_after_a_pause(make: Callable[..., Children], tmp_path: Path,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE_S", 0.01)

    def dies_once(child: Child, say_ready: SayReady) -> None:
        if not (tmp_path / "once").exists():
            (tmp_path / "once").touch()
            raise ZeroDivisionError
        waits(child, say_ready)

    children = make(dies_once, quick=1)
    turn_until(children, lambda: children.are_ready)


def test_what_predictors_could_not_load_is_told_with_who_is_ready(make: Callable[..., Children]) -> None:
    refusal = {"fingerprint": "of-leaf", "reason": "gesünd\n" * 80}

    def lives(child: Child, say_ready: SayReady) -> None:
        waits(child, lambda _: say_ready([refusal] * 9))

    children = make(lives, quick=2)
    turn_until(children, lambda: children.are_ready)
    assert children.refused == [refusal] * 18


def test_the_end_lets_them_end_and_replaces_none(make: Callable[..., Children], tmp_path: Path) -> None:
    children = make()
    turn_until(children, lambda: children.are_ready)
    children.end()
    turn_until(children, lambda: children.have_ended)
    assert not list((tmp_path / "deaths").glob("*"))


def test_a_process_that_is_no_predictor_is_reaped(make: Callable[..., Children]) -> None:
    children = make(quick=1)
    other = forked(lambda say_ready: None)
    turn_until(children, lambda: not Path(f"/proc/{other.pid}").exists())
    assert groups(children) == ["quick"]


@pytest.mark.parametrize(("life", "status"), [
    (lambda: None, 0), (lambda: exec("raise SystemExit(3)"), 3), (lambda: exec("raise SystemExit"), 0),
    (lambda: exec("raise KeyboardInterrupt"), 1), (lambda: exec("raise ZeroDivisionError"), 1)])
def test_a_forked_life_never_returns(life: Callable[[], None], status: int) -> None:
    def lives(say_ready: Callable[[], None]) -> None:
        run_and_exit(life)

    assert forked(lives).status() == status
