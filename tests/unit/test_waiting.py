import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from api.waiting import Waiting, clear_dead
from settings import ROOT

OTHER = """
import sys; from pathlib import Path; from api.waiting import Waiting
other = Waiting(Path(sys.argv[1]), 1); other.start()
with other.counted("long", 40.0):
    print("counted", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "waiting"


def started(file: Path, predictors: int = 1) -> Waiting:
    waiting = Waiting(file, predictors)
    waiting.start()
    return waiting


@contextmanager
def another_process(file: Path) -> Iterator[subprocess.Popen]:
    """Another web process, in which a long run waits."""
    with subprocess.Popen([sys.executable, "-c", OTHER, str(file)], cwd=ROOT, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"counted\n"
        yield process


def test_work_counts_on_its_route_until_it_ends(file: Path) -> None:
    waiting = started(file)
    with waiting.counted("quick", 10), waiting.counted("quick", 5), waiting.counted("long", 100):
        assert (waiting.ms("quick"), waiting.ms("long")) == (15, 100)
    assert (waiting.ms("quick"), waiting.ms("long")) == (0, 0)


def test_the_predictors_of_a_route_share_its_work(file: Path) -> None:
    waiting = started(file, predictors=4)
    with waiting.counted("long", 100):
        assert waiting.ms("long") == 25


def test_work_that_fails_counts_no_more(file: Path) -> None:
    waiting = started(file)
    with pytest.raises(ZeroDivisionError), waiting.counted("quick", 10):
        raise ZeroDivisionError
    assert waiting.ms("quick") == 0


def test_the_work_of_another_process_counts_too_until_it_is_dead(file: Path) -> None:
    waiting = started(file)
    with waiting.counted("long", 2), another_process(file) as other:
        assert waiting.ms("long") == 42
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
        subprocess.run([sys.executable, "-c", f"from pathlib import Path; from api.waiting import clear_dead; "
                        f"clear_dead(Path({str(file)!r}))"], cwd=ROOT, check=True)  # gunicorn's arbiter
        assert waiting.ms("long") == 2


def test_a_process_that_starts_forgets_what_the_dead_left(file: Path) -> None:
    with another_process(file) as other:
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
    waiting = started(file)
    assert waiting.ms("long") == 0


def test_the_work_of_the_living_is_never_cleared(file: Path) -> None:
    with another_process(file) as other:
        clear_dead(file)
        assert started(file).ms("long") == 40
        other.communicate()


def test_a_table_that_is_gone_is_told_by_who_would_clear_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """gunicorn's arbiter would end of an error."""
    clear_dead(tmp_path / "deleted" / "waiting")
    assert len(caplog.messages) == 1
