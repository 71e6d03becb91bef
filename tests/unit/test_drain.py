import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from api.drain import Drain
from api.problems import Draining
from state_dir import LEAVING, StateDir


def until(look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def say(state: StateDir, word: str) -> None:
    """As ops/stop.py does: there is no moment in which half of it is said."""
    (state.root / "partial").write_text(word)
    (state.root / "partial").rename(state.draining)


def test_who_leaves_says_so_before_new_work_is_refused(tmp_path: Path) -> None:
    state, let_go = StateDir(tmp_path), list[bool]()
    drain = Drain(state, lambda: let_go.append(True))
    drain.start()
    drain.check_ready()
    say(state, LEAVING)
    until(lambda: drain.leaving)
    with pytest.raises(Draining):
        drain.check_ready()
    drain.check()
    assert (drain.active, let_go, state.drained.exists()) == (False, [], False)
    say(state, "")
    until(lambda: drain.active)
    with pytest.raises(Draining):
        drain.check()
    until((state.drained / str(os.getpid())).exists)
    assert let_go == [True]


def test_a_process_that_is_replaced_lets_its_waiting_callers_go(tmp_path: Path) -> None:
    let_go, staying = list[bool](), [True]
    drain = Drain(StateDir(tmp_path), lambda: let_go.append(True))
    drain.start(lambda: staying[0])
    time.sleep(0.2)
    assert not let_go
    staying[0] = False
    until(lambda: bool(let_go))
    assert not drain.active
