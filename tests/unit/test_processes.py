import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ops import processes
from ops.processes import MARK, children, control_lock, kill, marked, wait_gone

Program = subprocess.Popen[bytes]
WAIT_FOR_INPUT = "print('ready', flush=True); input()"


@pytest.fixture
def start() -> Iterator[Callable[[Path], Program]]:
    """Starts a process of an instance, which stays until it is killed."""
    started: list[Program] = []

    def start(state_dir: Path) -> Program:
        program = subprocess.Popen([sys.executable, "-c", WAIT_FOR_INPUT], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, env=os.environ | {MARK: str(state_dir)})
        started.append(program)
        assert program.stdout is not None
        program.stdout.readline()
        return program

    yield start
    for program in started:
        program.kill()
        program.communicate()


def test_the_processes_of_an_instance_are_found_by_their_mark(start: Callable[[Path], Program],
                                                              tmp_path: Path) -> None:
    ours, others = start(tmp_path / "a"), start(tmp_path / "ab")
    assert marked(tmp_path / "a") == [ours.pid]
    assert marked(tmp_path / "ab") == [others.pid]
    assert marked(tmp_path) == []


def test_processes_are_told_by_the_module_that_they_run() -> None:
    with subprocess.Popen([sys.executable, "-m", "timeit", "-n", "1", WAIT_FOR_INPUT], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        program.stdout.readline()
        assert processes.running("timeit", [program.pid, os.getpid(), 2**22 + 1]) == [program.pid]
        processes.end([program.pid, 2**22 + 1])
        assert program.wait(20) == -15


def test_the_one_who_looks_is_not_among_them(tmp_path: Path) -> None:
    looking = subprocess.run([sys.executable, "-c", "import sys, pathlib; from ops.processes import marked; "
                              "print(marked(pathlib.Path(sys.argv[1])))", str(tmp_path)],
                             env=os.environ | {MARK: str(tmp_path)}, capture_output=True, text=True, check=True)
    assert looking.stdout.strip() == "[]"


def test_killed_processes_are_gone(start: Callable[[Path], Program], tmp_path: Path) -> None:
    programs = [start(tmp_path) for _ in range(2)]
    kill([*marked(tmp_path), 2**22 + 1])
    assert wait_gone(tmp_path, timeout_s=20)
    assert [program.wait(20) for program in programs] == [-9, -9]


def test_waiting_for_who_stays_ends_in_time(start: Callable[[Path], Program], tmp_path: Path) -> None:
    start(tmp_path)
    assert not wait_gone(tmp_path, timeout_s=0)


def test_waiting_for_one_does_not_wait_for_the_others(start: Callable[[Path], Program], tmp_path: Path) -> None:
    ending, staying = start(tmp_path), start(tmp_path)
    ending.kill()
    assert wait_gone(tmp_path, timeout_s=20, only=ending.pid)
    assert marked(tmp_path) == [staying.pid]


def test_children_are_told(start: Callable[[Path], Program], tmp_path: Path) -> None:
    assert start(tmp_path).pid in children(os.getpid())
    assert children(2**22 + 1) == []


def test_the_lock_needs_no_writing_where_its_file_is(tmp_path: Path) -> None:
    """As on a disk that became read-only: a stop must still be possible."""
    (tmp_path / "control.lock").touch(0o400)
    with control_lock(tmp_path):
        pass


def test_one_start_or_stop_at_a_time(tmp_path: Path) -> None:
    order = []
    began = threading.Event()

    def second() -> None:
        began.set()
        with control_lock(tmp_path):
            order.append("second")

    with control_lock(tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        assert began.wait(20)
        thread.join(0.02)
        order.append("first")
    thread.join(20)
    assert order == ["first", "second"]


def test_a_process_that_ends_while_looked_at_has_no_mark(tmp_path: Path) -> None:
    assert processes._read(tmp_path / "absent") == []
